//! Columns of text.

use std::io::{self, Write};

/// A table that is written in pages, its headings once. A column that a page makes wider stays so;
/// one that holds nothing but numbers on a page stands to the right there.
#[derive(Debug, Default)]
pub(crate) struct Table {
    widths: Vec<usize>,
}

impl Table {
    /// Writes `rows` under `columns`.
    pub(crate) fn page(
        &mut self,
        out: &mut dyn Write,
        columns: &[&str],
        rows: &[Vec<String>],
    ) -> io::Result<()> {
        let headed = !self.widths.is_empty();
        self.widths.resize(columns.len(), 0);
        let headings: Vec<String> = columns.iter().map(|&name| name.to_owned()).collect();
        let mut shape = Vec::new();
        for (index, width) in self.widths.iter_mut().enumerate() {
            let column = Column::of(index, *width, &headings, rows);
            *width = column.width;
            shape.push(column);
        }
        if !headed {
            write_row(out, &shape, &headings)?;
        }
        rows.iter().try_for_each(|row| write_row(out, &shape, row))
    }
}

struct Column {
    width: usize,
    right: bool,
}

impl Column {
    fn of(index: usize, width_min: usize, headings: &[String], rows: &[Vec<String>]) -> Self {
        let cells = || rows.iter().filter_map(|row| row.get(index));
        let widths = cells()
            .chain(headings.get(index))
            .map(|cell| cell.chars().count());
        let is_number = |cell: &String| cell.parse::<f64>().is_ok();
        Self {
            width: widths.max().unwrap_or(0).max(width_min),
            right: cells().next().is_some() && cells().all(is_number),
        }
    }
}

fn write_row(out: &mut dyn Write, shape: &[Column], cells: &[String]) -> io::Result<()> {
    let mut line = String::new();
    for (column, cell) in shape.iter().zip(cells) {
        let width = column.width;
        if column.right {
            line.push_str(&format!("{cell:>width$}  "));
        } else {
            line.push_str(&format!("{cell:<width$}  "));
        }
    }
    writeln!(out, "{}", line.trim_end())
}
