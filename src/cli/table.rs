//! Tables that fit the terminal: columns are left out in a stated order, and where that is not enough each row becomes a
//! block of lines.

use comfy_table::{Cell, CellAlignment, LineStyle, Table, TableStyle};
use console::measure_text_width;

use crate::output::line;

/// One line below the header, nothing else: rows of many tables are narrow enough to follow.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─'));

/// Below this width no table is readable, so that each row becomes a block.
const MIN_TABLE_WIDTH: usize = 80;

/// Widest line of text in a cell where the width is not known.
const TEXT_WIDTH: usize = 90;
/// Narrowest line that text is wrapped to.
const MIN_TEXT_WIDTH: usize = 30;

/// One column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    title: &'static str,
    /// The higher, the earlier the column is left out; 0 = never.
    rank: u8,
    is_right: bool,
    /// True if the text wraps to the width that the other columns leave.
    is_text: bool,
}

impl Column {
    /// A column that is always shown.
    pub(super) const fn always(title: &'static str) -> Self {
        Self { title, rank: 0, is_right: false, is_text: false }
    }

    /// A column that is left out where the width does not suffice; the highest `rank` first.
    pub(super) const fn ranked(title: &'static str, rank: u8) -> Self {
        Self { title, rank, is_right: false, is_text: false }
    }

    /// Returns a column for numbers.
    pub(super) const fn number(self) -> Self {
        Self { is_right: true, ..self }
    }

    /// Returns a column for sentences.
    pub(super) const fn text(self) -> Self {
        Self { is_text: true, ..self }
    }
}

/// Rows under columns.
#[derive(Debug)]
pub(super) struct Grid {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

impl Grid {
    pub(super) fn new(columns: &[Column]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row: one cell per column. Characters that act on a terminal become visible.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| line(&cell).into_owned()).collect());
    }

    /// The text for a terminal of this width; all columns where the width is unknown (a pipe).
    pub(super) fn render(&self, width: Option<usize>) -> String {
        let mut shown: Vec<usize> =
            (0..self.columns.len()).filter(|column| !self.is_empty_throughout(*column)).collect();
        let Some(width) = width else { return self.table(&shown, TEXT_WIDTH) };
        if width < MIN_TABLE_WIDTH {
            return self.blocks(&shown);
        }
        loop {
            let text = self.table(&shown, self.text_width(&shown, width));
            if widest_line(&text) <= width {
                return self.with_note(text, &shown);
            }
            let Some(first_to_go) = shown.iter().copied().max_by_key(|column| self.columns[*column].rank) else {
                return text;
            };
            if self.columns[first_to_go].rank == 0 {
                let all: Vec<usize> = (0..self.columns.len()).collect();
                return self.blocks(&all);
            }
            shown.retain(|column| *column != first_to_go);
        }
    }

    /// A column that says nothing in any row is noise, unless it is one that is always shown.
    fn is_empty_throughout(&self, column: usize) -> bool {
        self.columns[column].rank > 0 && self.rows.iter().all(|row| matches!(row[column].as_str(), "" | "-"))
    }

    /// The width that the other columns leave for text.
    fn text_width(&self, shown: &[usize], width: usize) -> usize {
        let others = shown.iter().filter(|column| !self.columns[**column].is_text);
        let taken: usize = others.map(|column| self.column_width(*column) + 2).sum();
        width.saturating_sub(taken + 2).max(MIN_TEXT_WIDTH)
    }

    fn column_width(&self, column: usize) -> usize {
        let cells = self.rows.iter().map(|row| widest_line(&row[column]));
        cells.chain([measure_text_width(self.columns[column].title)]).max().unwrap_or(0)
    }

    fn table(&self, shown: &[usize], text_width: usize) -> String {
        let mut table = Table::new();
        table.load_style(STYLE).set_header(shown.iter().map(|column| self.columns[*column].title));
        for row in &self.rows {
            table.add_row(shown.iter().map(|column| {
                let Column { is_right, is_text, .. } = self.columns[*column];
                let text = if is_text { wrapped(&row[*column], text_width) } else { row[*column].clone() };
                let alignment = if is_right { CellAlignment::Right } else { CellAlignment::Left };
                Cell::new(text).set_alignment(alignment)
            }));
        }
        table.trim_fmt()
    }

    /// Names the columns that were left out, so that no reader looks for them in vain.
    fn with_note(&self, text: String, shown: &[usize]) -> String {
        let is_left_out = |column: &usize| !shown.contains(column) && !self.is_empty_throughout(*column);
        let left_out: Vec<&str> =
            (0..self.columns.len()).filter(is_left_out).map(|column| self.columns[column].title).collect();
        if left_out.is_empty() {
            return text;
        }
        format!("{text}\n (not shown at this width: {})", left_out.join(", "))
    }

    /// One block a row: a line for each cell that says something.
    fn blocks(&self, shown: &[usize]) -> String {
        let title_width = self.columns.iter().map(|column| measure_text_width(column.title)).max().unwrap_or(0);
        let block = |row: &Vec<String>| {
            let cells = shown.iter().filter(|column| !matches!(row[**column].as_str(), "" | "-"));
            let lines = cells.map(|column| {
                let indented = row[*column].trim().replace('\n', &format!("\n {:title_width$}  ", ""));
                format!(" {:title_width$}  {indented}", self.columns[*column].title)
            });
            lines.collect::<Vec<_>>().join("\n")
        };
        self.rows.iter().map(block).collect::<Vec<_>>().join("\n\n")
    }
}

fn widest_line(text: &str) -> usize {
    text.lines().map(measure_text_width).max().unwrap_or(0)
}

/// The text with line feeds between words, so that no line is wider than `width` (a longer word stays whole).
pub(super) fn wrapped(text: &str, width: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if measure_text_width(line) + 1 + measure_text_width(word) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        let mut grid = Grid::new(&[
            Column::always("name"),
            Column::ranked("first to go", 2),
            Column::ranked("second to go", 1),
            Column::ranked("never said", 9),
            Column::always("text").text(),
        ]);
        for name in ["a", "b"] {
            let text = "a sentence of some length ".repeat(3);
            grid.row([name.to_owned(), "x".repeat(30), "y".repeat(30), "-".to_owned(), text.trim().to_owned()]);
        }
        grid
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_and_what_is_left_out_is_said() {
        for width in 80..200 {
            let text = grid().render(Some(width));
            assert!(widest_line(&text) <= width, "{width}: {text}");
            assert!(!text.contains("never said"));
            let is_complete = text.contains(&"x".repeat(30));
            assert_eq!(!is_complete, text.contains("(not shown at this width: first to go"), "{width}: {text}");
        }
    }

    #[test]
    fn a_narrow_terminal_gets_blocks() {
        insta::assert_snapshot!(grid().render(Some(79)).lines().take(5).collect::<Vec<_>>().join("\n"), @r"
        name          a
        first to go   xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
        second to go  yyyyyyyyyyyyyyyyyyyyyyyyyyyyyy
        text          a sentence of some length a sentence of some length a sentence of some length
        ");
    }

    #[test]
    fn a_long_text_is_wrapped_between_words() {
        let text = "a reason of some length ".repeat(20);
        assert!(wrapped(&text, 40).lines().all(|line| line.chars().count() <= 40));
        assert_eq!(wrapped(&text, 40).replace('\n', " "), text);
    }
}
