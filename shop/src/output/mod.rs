//! What commands print: tables for people, JSON for programs.

use std::io::{self, Write};

use prost::Message;

mod items;
pub mod json;
mod money;
mod operators;
mod table;

pub(crate) use table::Table;

pub use items::{order_sheet, order_state, status_name};
pub use operators::parked_sheet;

/// The shape of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// Proto3 JSON with snake_case names and 64-bit integers as numbers, one object per line.
    Json,
}

/// A message that commands list.
pub trait Item: Message {
    /// Its full name in the proto files.
    const MESSAGE: &'static str;
    /// The headings of its table.
    const COLUMNS: &'static [&'static str];

    /// Its cells, one per column.
    fn cells(&self) -> Vec<String>;
}

/// Prints lists that come in pages, the headings once.
#[derive(Debug)]
pub struct Lister<W> {
    out: W,
    format: Format,
    table: Table,
}

impl<W: Write> Lister<W> {
    /// Prints to `out`.
    pub fn new(out: W, format: Format) -> Self {
        Self {
            out,
            format,
            table: Table::default(),
        }
    }

    /// Prints one page of a service's items, the service in front. A first page without items still
    /// prints the headings of a table.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn page_of<T: Item>(&mut self, service: &str, items: &[T]) -> io::Result<()> {
        let items: Vec<(&str, &T)> = items.iter().map(|item| (service, item)).collect();
        self.page_of_several(&items)
    }

    /// As [`Lister::page_of`], with items of several services.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn page_of_several<T: Item>(&mut self, items: &[(&str, &T)]) -> io::Result<()> {
        match self.format {
            Format::Table => {
                let columns: Vec<&str> = ["SERVICE"].iter().chain(T::COLUMNS).copied().collect();
                let row = |(service, item): &(&str, &T)| {
                    [vec![(*service).to_owned()], item.cells()].concat()
                };
                let rows: Vec<_> = items.iter().map(row).collect();
                self.table.page(&mut self.out, &columns, &rows)?;
            }
            Format::Json => {
                for (service, item) in items {
                    writeln!(self.out, "{}", json::line_of(service, *item))?;
                }
            }
        }
        self.out.flush()
    }

    /// Prints one page. A first page without items still prints the headings of a table.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn page<T: Item>(&mut self, items: &[T]) -> io::Result<()> {
        match self.format {
            Format::Table => {
                let rows: Vec<_> = items.iter().map(Item::cells).collect();
                self.table.page(&mut self.out, T::COLUMNS, &rows)?;
            }
            Format::Json => {
                for item in items {
                    writeln!(self.out, "{}", json::line(item))?;
                }
            }
        }
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use contracts::proto::StockLevel;

    use super::*;

    fn levels() -> [StockLevel; 2] {
        [
            StockLevel {
                product_id: "PRODUCT_001".to_owned(),
                on_hand: 10,
                reserved: 3,
                available: 7,
                version: 1,
            },
            StockLevel {
                product_id: "P2".to_owned(),
                on_hand: 9_007_199_254_740_993,
                ..StockLevel::default()
            },
        ]
    }

    fn printed(format: Format) -> String {
        let mut out = Vec::new();
        let mut lister = Lister::new(&mut out, format);
        lister.page(&levels()[..1]).unwrap();
        lister.page(&levels()[1..]).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_table_has_its_headings_once() {
        assert_eq!(
            printed(Format::Table),
            "PRODUCT      ON HAND  RESERVED  AVAILABLE\n\
             PRODUCT_001       10         3          7\n\
             P2           9007199254740993         0          0\n"
        );
    }

    #[test]
    fn json_is_one_object_per_line_with_whole_numbers_and_zeros() {
        assert_eq!(
            printed(Format::Json),
            "{\"product_id\":\"PRODUCT_001\",\"on_hand\":10,\"reserved\":3,\"available\":7,\"version\":1}\n\
             {\"product_id\":\"P2\",\"on_hand\":9007199254740993,\"reserved\":0,\"available\":0,\"version\":0}\n"
        );
    }
}
