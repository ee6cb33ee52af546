//! Workspaces, and what they own: domains, keys, links.
//!
//! **Invariant:** as of all of `args`: the help of a command is enough to use it.

use clap::{Subcommand, ValueEnum};

/// Tenants.
#[derive(Debug, Subcommand)]
pub enum WorkspaceCommand {
    /// Create a workspace
    #[command(after_help = "Example:\n  leadline workspace create --name 'Acme Inc' --slug acme")]
    Create {
        /// Name, for people
        #[arg(long)]
        name: String,
        /// Short unique name: 3..48 of a-z, 0-9 and '-'
        #[arg(long)]
        slug: String,
    },
    /// List all workspaces
    List,
}

/// Domains.
#[derive(Debug, Subcommand)]
pub enum DomainCommand {
    /// Register a domain for a workspace
    #[command(after_help = "Example:\n  leadline domain add go.acme.com --workspace acme")]
    Add {
        /// Host name, such as go.acme.com
        domain: String,
        /// Slug or ws_ id
        #[arg(long, value_name = "SLUG|ID")]
        workspace: String,
    },
    /// List a workspace's domains
    List {
        /// Slug or ws_ id
        #[arg(long, value_name = "SLUG|ID")]
        workspace: String,
    },
}

/// API keys.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key; it is shown once and kept only as a hash
    #[command(after_help = "\
Examples:
  leadline key create --workspace acme --name billing
  leadline key create --workspace acme --kind publishable --name website
  key=$(leadline key create --workspace acme --json | jq -r .key)")]
    Create {
        /// Slug or ws_ id
        #[arg(long, value_name = "SLUG|ID")]
        workspace: String,
        /// secret: for servers, every route; publishable: for web pages, client-side routes only
        #[arg(long, value_enum, default_value_t = Kind::Secret)]
        kind: Kind,
        /// Name, for people
        #[arg(long, default_value = "")]
        name: String,
    },
    /// List keys: hint, kind, since when, revoked or not
    List {
        /// Slug or ws_ id; without it, every workspace's keys
        #[arg(long, value_name = "SLUG|ID")]
        workspace: Option<String>,
    },
    /// Revoke a key; the API refuses it after at most `store.key_ttl`
    #[command(after_help = "Example:\n  leadline key revoke key_01J...     (ids: leadline key list)")]
    Revoke {
        /// The key's id, key_...
        id: String,
    },
}

/// What a key opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Every route.
    Secret,
    /// Client-side routes.
    Publishable,
}

/// Links.
#[derive(Debug, Subcommand)]
pub enum LinkCommand {
    /// Create a link; its domain is registered for the workspace if nobody has it
    #[command(after_help = "\
Example:
  leadline link create --workspace acme --domain go.acme.com --key spring --url https://acme.com/pricing")]
    Create {
        /// Slug or ws_ id
        #[arg(long, value_name = "SLUG|ID")]
        workspace: String,
        /// Host name, such as go.acme.com
        #[arg(long)]
        domain: String,
        /// The path after the domain
        #[arg(long)]
        key: String,
        /// Where the link leads
        #[arg(long)]
        url: String,
        /// Your own name for it, unique in the workspace
        #[arg(long)]
        external_id: Option<String>,
    },
}
