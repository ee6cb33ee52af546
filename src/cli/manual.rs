//! `completions` and `man`: what can be typed, for shells and for `man(1)`.
//!
//! Enters: the command line as `args` declares it. Leaves: a script, or one page with a section for each command.
//!
//! **Invariant:** nothing stands in the page that `--help` does not say.

use std::io;

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::args::Cli;
use super::error::CliError;
use super::out::Out;

const NAME: &str = "leadline";

/// `completions`.
///
/// # Errors
/// [`CliError`] when standard output is gone.
pub(super) fn completions(shell: Shell, out: Out) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), NAME, &mut script);
    out.document(&script)?;
    Ok(())
}

/// `man`.
///
/// # Errors
/// [`CliError`] when standard output is gone.
pub(super) fn man(out: Out) -> Result<(), CliError> {
    out.document(&page()?)?;
    Ok(())
}

fn page() -> io::Result<Vec<u8>> {
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    let (man, mut page) = (Man::new(root.clone()), Vec::new());
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    let mut heading = Roff::new();
    heading.control("SH", ["COMMANDS"]);
    heading.to_writer(&mut page)?;
    for command in root.get_subcommands() {
        describe(command, NAME, &mut page)?;
    }
    let mut examples = Roff::new();
    examples.control("SH", ["EXAMPLES"]);
    verbatim(&root, &mut examples);
    examples.to_writer(&mut page)?;
    man.render_version_section(&mut page)?;
    Ok(page)
}

/// A command, or the commands below it.
fn describe(command: &Command, above: &str, page: &mut Vec<u8>) -> io::Result<()> {
    let name = format!("{above} {}", command.get_name());
    if command.has_subcommands() {
        return command.get_subcommands().try_for_each(|below| describe(below, &name, page));
    }
    let mut section = Roff::new();
    section.control("SS", [name.as_str()]);
    let usage = command.clone().render_usage().to_string();
    section.text([roman(usage)]);
    section.control("PP", []);
    let about = command.get_long_about().or_else(|| command.get_about());
    section.text([roman(about.map(ToString::to_string).unwrap_or_default())]);
    section.to_writer(page)?;
    // Those of every command stand once, at the top.
    let own = command
        .clone()
        .mut_args(|arg| if arg.is_global_set() || arg.get_id() == "help" { arg.hide(true) } else { arg });
    let mut options = Vec::new();
    Man::new(own).render_options_section(&mut options)?;
    let options = String::from_utf8_lossy(&options).replace(".SH OPTIONS\n", ".PP\n");
    page.extend_from_slice(options.as_bytes());
    let mut more = Roff::new();
    verbatim(command, &mut more);
    more.to_writer(page)
}

/// What stands below the options of `--help`, line by line as it stands there.
fn verbatim(command: &Command, roff: &mut Roff) {
    let Some(text) = command.get_after_long_help().or_else(|| command.get_after_help()) else { return };
    roff.control("PP", []);
    roff.control("nf", []);
    for line in text.to_string().lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_its_section() {
        let page = String::from_utf8(page().unwrap()).unwrap();
        for command in ["leadline worker", "leadline buried replay", "leadline prune clicks", "leadline top"] {
            assert!(page.contains(&format!(".SS \"{command}\"")), "{command}");
        }
        assert_eq!(page.matches("\n.SH COMMANDS").count(), 1);
        assert!(page.contains("\\-\\-older\\-than"), "options of commands are missing");
    }
}
