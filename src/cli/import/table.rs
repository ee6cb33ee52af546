//! Reads CSV: a header names the fields of the API, each record is one lead.
//!
//! Enters: a file. Leaves: lines, as JSON. An empty cell is an absent field, but an empty `clickId` makes a
//! follow-up. `metadata` holds a JSON object. What a field may be is for the server to say; a cell that is not
//! of its type is sent as the text that it is, and refused with the contract's words.
//!
//! **Invariant:** an unknown column stops the import before anything is sent, so no value is lost in silence.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use csv::{ByteRecord, Position, Reader, ReaderBuilder};
use serde_json::Number;
use serde_json::value::RawValue;

use super::super::error::CliError;
use super::line::{LINE_MAX, Line, Place, Refusal};

/// The columns there may be.
const COLUMNS: &[&str] = &[
    CLICK,
    "eventName",
    "customerExternalId",
    "mode",
    QUANTITY,
    "customerName",
    "customerEmail",
    "customerAvatar",
    METADATA,
];
const CLICK: &str = "clickId";
const QUANTITY: &str = "eventQuantity";
const METADATA: &str = "metadata";
/// Without these no line could be accepted.
const REQUIRED: [&str; 2] = ["eventName", "customerExternalId"];

/// A file of CSV, read from some place on.
pub(super) struct Table {
    reader: Reader<Bounded>,
    columns: Vec<&'static str>,
    record: ByteRecord,
    name: String,
    /// How far the reader's count of lines is behind: it counts CR LF with the record that comes after.
    lag: u64,
}

impl Table {
    /// Reads the header.
    ///
    /// # Errors
    /// [`CliError`] naming the column that is unknown, missing or there twice.
    pub(super) fn open(file: File, name: &str) -> Result<Self, CliError> {
        let mut reader = ReaderBuilder::new().flexible(true).from_reader(Bounded { file, left: LINE_MAX });
        let header = reader.byte_headers().map_err(|error| failed(name, 1, error))?.clone();
        let columns = header.iter().map(column).collect::<Result<Vec<_>, _>>();
        let columns = columns.and_then(complete).map_err(|why| CliError::said(format!("{name}, line 1: {why}")))?;
        let lag = 2_u64.saturating_sub(reader.position().line());
        Ok(Self { reader, columns, record: ByteRecord::new(), name: name.to_owned(), lag })
    }

    /// Goes on at a place told by [`Table::place`].
    ///
    /// # Errors
    /// [`CliError`] when the file cannot be read there.
    pub(super) fn go_on(&mut self, place: Place) -> Result<(), CliError> {
        let mut position = Position::new();
        position.set_byte(place.byte).set_line(place.line).set_record(place.record);
        self.reader.seek(position).map_err(|error| failed(&self.name, place.line, error))
    }

    pub(super) fn place(&self) -> Place {
        let position = self.reader.position();
        Place { byte: position.byte(), line: position.line(), record: position.record() }
    }

    /// The next record; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Line>, CliError> {
        self.reader.get_mut().left = LINE_MAX;
        let begin = self.reader.position().line() + self.lag;
        let read = self.reader.read_byte_record(&mut self.record);
        if !read.map_err(|error| failed(&self.name, begin, error))? {
            return Ok(None);
        }
        // Counted back from its end, because blank lines before it count with it.
        let inside = self.record.as_slice().iter().filter(|byte| **byte == b'\n').count();
        let end = self.reader.position().line() + self.lag;
        let number = begin.max(end.saturating_sub(1 + u64::try_from(inside).unwrap_or_default()));
        Ok(Some(Line { number, lead: self.lead().map_err(|why| Refusal::own(400, &why)) }))
    }

    fn lead(&self) -> Result<String, String> {
        if self.record.len() != self.columns.len() {
            let (has, wants) = (self.record.len(), self.columns.len());
            return Err(format!("The record has {has} cells, the header has {wants}."));
        }
        let mut text = String::from("{");
        for (column, cell) in self.columns.iter().zip(&self.record) {
            let cell = str::from_utf8(cell).map_err(|_| format!("The cell of {column} is not UTF-8."))?;
            if cell.is_empty() && *column != CLICK {
                continue;
            }
            if text.len() > 1 {
                text.push(',');
            }
            text.push_str(&format!("\"{column}\":{}", value(column, cell)));
        }
        text.push('}');
        Ok(text)
    }
}

/// A cell as JSON.
fn value(column: &str, cell: &str) -> String {
    let as_it_is = match column {
        QUANTITY => serde_json::from_str::<Number>(cell).is_ok(),
        METADATA => serde_json::from_str::<&RawValue>(cell).is_ok(),
        _ => false,
    };
    if as_it_is { cell.trim().to_owned() } else { serde_json::Value::from(cell).to_string() }
}

fn column(name: &[u8]) -> Result<&'static str, String> {
    let name = String::from_utf8_lossy(name);
    let known = COLUMNS.iter().find(|known| **known == name.trim());
    known.copied().ok_or_else(|| format!("the column {name} is none of {}", COLUMNS.join(", ")))
}

fn complete(columns: Vec<&'static str>) -> Result<Vec<&'static str>, String> {
    if let Some(missing) = REQUIRED.iter().find(|name| !columns.contains(name)) {
        return Err(format!("the column {missing} is missing"));
    }
    match COLUMNS.iter().find(|name| columns.iter().filter(|column| column == name).count() > 1) {
        Some(twice) => Err(format!("the column {twice} is there twice")),
        None => Ok(columns),
    }
}

fn failed(name: &str, line: u64, error: csv::Error) -> CliError {
    let place = format!("{name}, line {line}");
    match error.into_kind() {
        csv::ErrorKind::Io(error) => CliError::File(place, error),
        other => CliError::said(format!("{place}: {other:?}")),
    }
}

/// A file of which one record is only so long.
#[derive(Debug)]
struct Bounded {
    file: File,
    left: usize,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            let why = format!("a record is longer than {LINE_MAX} bytes; is a quote not closed?");
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        let read = self.file.read(buffer)?;
        self.left = self.left.saturating_sub(read);
        Ok(read)
    }
}

impl Seek for Bounded {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use serde_json::{Value, json};

    use super::*;

    fn open(text: &str) -> Result<Table, CliError> {
        let path = std::env::temp_dir().join(format!("leadline-table-{}", crate::lead::id::alphanumerics(12)));
        File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
        let table = Table::open(File::open(&path).unwrap(), "leads.csv");
        std::fs::remove_file(path).unwrap();
        table
    }

    fn leads(table: &mut Table) -> Vec<(u64, Option<Value>)> {
        let line = |line: Line| (line.number, line.lead.ok().map(|lead| serde_json::from_str(&lead).unwrap()));
        std::iter::from_fn(|| table.next().unwrap().map(line)).collect()
    }

    #[test]
    fn cells_become_the_fields_of_a_lead() {
        let text = "\u{feff}clickId,eventName,customerExternalId,eventQuantity,metadata\n\
            c1,Sign Up,\"u,1\",3,\"{\"\"a\"\": [1]}\"\n,e,u2,,\nc3,e,u3,x,[\n";
        let expected = [
            (
                2,
                Some(json!({"clickId": "c1", "eventName": "Sign Up", "customerExternalId": "u,1", "eventQuantity": 3,
                "metadata": {"a": [1]}})),
            ),
            (3, Some(json!({"clickId": "", "eventName": "e", "customerExternalId": "u2"}))),
            (
                4,
                Some(json!({"clickId": "c3", "eventName": "e", "customerExternalId": "u3", "eventQuantity": "x",
                "metadata": "["})),
            ),
        ];
        assert_eq!(leads(&mut open(text).unwrap()), expected);
    }

    #[test]
    fn lines_are_counted_whatever_ends_them_and_reading_goes_on_anywhere() {
        for end in ["\n", "\r\n"] {
            let text =
                ["eventName,customerExternalId", "a,u1", "\"b", "b\",u2", "", "c,u3,x", "d,u4", "e,u5"].join(end);
            let all = leads(&mut open(&text).unwrap());
            let numbers: Vec<_> = all.iter().map(|(number, lead)| (*number, lead.is_some())).collect();
            assert_eq!(numbers, [(2, true), (3, true), (6, false), (7, true), (8, true)], "{end:?}");
            for passed in 0..5 {
                let mut table = open(&text).unwrap();
                (0..passed).for_each(|_| drop(table.next().unwrap()));
                let place = table.place();
                let mut again = open(&text).unwrap();
                again.go_on(place).unwrap();
                assert_eq!(leads(&mut again), all[passed..], "{end:?} after {passed}");
            }
        }
    }

    #[test]
    fn a_header_that_would_lose_values_stops_the_import() {
        let said = |text: &str| open(text).err().unwrap().to_string();
        for (header, why) in [
            ("eventName,customerExternalId,plan", "leads.csv, line 1: the column plan is none of clickId, eventName"),
            ("clickId,eventName", "leads.csv, line 1: the column customerExternalId is missing"),
            ("eventName,customerExternalId,eventName", "leads.csv, line 1: the column eventName is there twice"),
        ] {
            assert!(said(header).starts_with(why), "{}", said(header));
        }
        let mut endless = open(&format!("eventName,customerExternalId\na,b\n\"{}", "x".repeat(3 * LINE_MAX))).unwrap();
        assert!(endless.next().unwrap().is_some());
        let error = endless.next().err().unwrap().to_string();
        assert!(error.starts_with("leads.csv, line 3: a record is longer"), "{error}");
    }
}
