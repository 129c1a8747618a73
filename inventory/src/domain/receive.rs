//! Goods arrive.

use super::book::Book;
use super::event::Event;
use super::ids::{ProductId, ReceiptId};
use super::rows::NotLoaded;

/// Goods that arrived. The id is the business key: the same one again is the same receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Its id.
    pub receipt_id: ReceiptId,
    /// The product.
    pub product_id: ProductId,
    /// Pieces.
    pub quantity: i32,
}

/// Adds a new receipt to the stock and marks the product for those who wait for it. `causation_id`
/// is the id of the command.
///
/// # Errors
/// When the product's stock is not loaded.
pub fn receive(book: &mut Book, receipt: Receipt, causation_id: &str) -> Result<Event, NotLoaded> {
    let product = receipt.product_id.clone();
    let stock = book
        .stock(&product)?
        .unwrap_or_default()
        .receive(receipt.quantity);
    book.put_stock(&product, stock);
    book.mark(&product, causation_id);
    let event = Event::Received {
        product_id: product,
        version: stock.version,
        receipt_id: receipt.receipt_id.clone(),
        quantity: receipt.quantity,
    };
    book.put_receipt(receipt);
    Ok(event)
}

#[cfg(test)]
mod tests {
    use super::super::given::{Given, stock};
    use super::*;

    #[test]
    fn a_first_receipt_makes_the_product_known() {
        let mut book = Given::stock(&[]).book();
        let event = book.receive("R1", "A", 10);
        assert_eq!(
            event,
            Event::Received {
                product_id: ProductId::from("A"),
                version: 1,
                receipt_id: ReceiptId::from("R1"),
                quantity: 10,
            }
        );
        assert_eq!(stock(&book, "A"), (10, 0));
    }

    #[test]
    fn a_further_receipt_adds_and_raises_the_version() {
        let mut book = Given::stock(&[("A", 10)]).book();
        let Event::Received { version, .. } = book.receive("R2", "A", 5) else {
            panic!("goods that arrive are an event of the stock");
        };
        assert_eq!((version, stock(&book, "A")), (2, (15, 0)));
        let kept = book.receipt(&ReceiptId::from("R2")).unwrap().unwrap();
        assert_eq!((kept.product_id.as_str(), kept.quantity), ("A", 5));
    }

    #[test]
    fn a_receipt_marks_the_product_for_those_who_wait() {
        let mut book = Given::stock(&[("A", 0)]).book();
        book.place("O1", &[("A", 3)]);
        book.receive("R2", "A", 5);
        assert_eq!(book.marked(), [ProductId::from("A")]);
        assert_eq!(stock(&book, "A"), (5, 0), "serving them is the pass's work");
    }
}
