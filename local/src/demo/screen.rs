//! The demo's screen: headings, sentences and tables.

use std::io::{self, Write};

use comfy_table::{CellAlignment, Table, presets};

/// The output of the demo.
pub(super) struct Screen<'w> {
    out: &'w mut (dyn Write + Send),
}

impl<'w> Screen<'w> {
    pub(super) fn new(out: &'w mut (dyn Write + Send)) -> Self {
        Self { out }
    }

    /// A step's name.
    pub(super) fn heading(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "\n▌ {text}")?;
        self.out.flush()
    }

    /// One sentence or line.
    pub(super) fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "  {text}")?;
        self.out.flush()
    }

    /// The output of a program, indented.
    pub(super) fn block(&mut self, text: &str) -> io::Result<()> {
        text.lines().try_for_each(|line| writeln!(self.out, "    {line}"))?;
        self.out.flush()
    }

    /// A table; all columns but the first `text_columns` hold numbers and lean to the right.
    pub(super) fn table(&mut self, header: &[&str], rows: &[Vec<String>], text_columns: usize) -> io::Result<()> {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED).set_header(header);
        rows.iter().for_each(|row| {
            table.add_row(row);
        });
        table.column_iter_mut().skip(text_columns).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
        for line in table.to_string().lines() {
            writeln!(self.out, "  {line}")?;
        }
        self.out.flush()
    }
}
