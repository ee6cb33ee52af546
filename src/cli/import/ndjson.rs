//! Reads NDJSON: one lead object per line, as the API takes it.
//!
//! Enters: bytes. Leaves: lines. Blank ones are passed over; one that is no JSON, or too long, is refused here
//! and reading goes on.
//!
//! **Invariant:** never more than one line, and no more than [`LINE_MAX`] of it, is in memory.

use std::io::{self, BufRead, Read};

use serde_json::value::RawValue;

use super::line::{LINE_MAX, Line, Place, Refusal};

/// What a file may begin with.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A file of NDJSON, read from some place on.
pub(super) struct Ndjson {
    input: Box<dyn BufRead + Send>,
    place: Place,
}

impl Ndjson {
    /// `input` stands at `place`.
    pub(super) fn new(input: Box<dyn BufRead + Send>, place: Place) -> Self {
        Self { input, place }
    }

    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// The next line; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let mut bytes = Vec::new();
            let most = u64::try_from(LINE_MAX).unwrap_or(u64::MAX);
            let read = (&mut self.input).take(most).read_until(b'\n', &mut bytes)?;
            if read == 0 {
                return Ok(None);
            }
            self.moved(read);
            self.place.line += 1;
            let number = self.place.line;
            if read == LINE_MAX && !bytes.ends_with(b"\n") {
                self.pass_over()?;
                let refusal = Refusal::own(413, &format!("The line is longer than {LINE_MAX} bytes."));
                return Ok(Some(Line { number, lead: Err(refusal) }));
            }
            let text = bytes.strip_prefix(BYTE_ORDER_MARK).filter(|_| number == 1).unwrap_or(&bytes);
            if !text.trim_ascii().is_empty() {
                return Ok(Some(Line { number, lead: lead(text) }));
            }
        }
    }

    /// Reads to the end of a line and keeps nothing of it.
    fn pass_over(&mut self) -> io::Result<()> {
        loop {
            let buffer = self.input.fill_buf()?;
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let passed = end.map_or(buffer.len(), |at| at + 1);
            self.input.consume(passed);
            self.moved(passed);
            if end.is_some() || passed == 0 {
                return Ok(());
            }
        }
    }

    fn moved(&mut self, bytes: usize) {
        self.place.byte += u64::try_from(bytes).unwrap_or(u64::MAX);
    }
}

fn lead(text: &[u8]) -> Result<String, Refusal> {
    match serde_json::from_slice::<&RawValue>(text) {
        Ok(value) => Ok(value.get().to_owned()),
        Err(error) => Err(Refusal::own(400, &format!("The line is not JSON: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Cursor};

    use super::*;

    fn lines(text: &[u8]) -> (Vec<Line>, Place) {
        let mut file =
            Ndjson::new(Box::new(BufReader::with_capacity(16, Cursor::new(text.to_vec()))), Place::default());
        let lines = std::iter::from_fn(|| file.next().unwrap()).collect();
        (lines, file.place())
    }

    #[test]
    fn lines_are_counted_and_what_is_no_json_is_refused_alone() {
        let text = b"\xef\xbb\xbf{\"a\":1}\r\n\n  \n[{}] \n{\"a\":1},{\"b\":2}\n\"\xff\"\n{";
        let (lines, end) = lines(text);
        let seen: Vec<_> = lines.iter().map(|line| (line.number, line.lead.as_deref().ok())).collect();
        assert_eq!(seen, [(1, Some("{\"a\":1}")), (4, Some("[{}]")), (5, None), (6, None), (7, None)]);
        let refusal = lines[2].lead.as_ref().unwrap_err();
        assert!(refusal.status == 400 && refusal.error.get().contains("trailing characters at line 1 column 8"));
        assert_eq!((end.line, end.byte), (7, text.len() as u64));
    }

    #[test]
    fn a_line_without_end_is_not_held() {
        let long = format!("{}\n{{}}\n", "x".repeat(3 * LINE_MAX));
        let (lines, end) = lines(long.as_bytes());
        let seen: Vec<_> = lines.iter().map(|line| (line.number, line.lead.is_ok())).collect();
        assert_eq!(seen, [(1, false), (2, true)]);
        assert_eq!(end.byte, long.len() as u64);
    }
}
