//! The allowed changes, made to today's schemas.

use serde_json::{Map, Value, json};

use crate::edition::Beyond;
use crate::schema::Text;

/// One side of a change.
#[derive(Clone, Debug)]
pub(crate) struct Side {
    /// The schema's text.
    pub(crate) text: &'static str,
    /// What writers of this side put into fields that are their own.
    pub(crate) writes: Beyond,
    /// What readers of this side find there if the writer is of the other side.
    pub(crate) reads: Beyond,
}

/// A change of a schema, from one version to the next.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) old: Side,
    pub(crate) new: Side,
}

fn side(text: &Text) -> Side {
    Side {
        text: text.leak(),
        writes: Beyond::default(),
        reads: Beyond::default(),
    }
}

fn message(name: &str, value: Value) -> Beyond {
    Beyond {
        message: Map::from_iter([(name.to_owned(), value)]),
        line: Map::new(),
    }
}

fn line(name: &str, value: Value) -> Beyond {
    Beyond {
        message: Map::new(),
        line: Map::from_iter([(name.to_owned(), value)]),
    }
}

fn field(name: &str, of: Value, default: Value) -> Value {
    json!({"name": name, "doc": "A field beyond today's.", "type": of, "default": default})
}

/// A field of the message comes; writers that know it write `written`.
fn comes(today: &str, name: &str, of: Value, default: Value, written: Value) -> Change {
    let today = Text::of(today);
    let with = today.clone().with(&field(name, of, default.clone()));
    Change {
        old: side(&today),
        new: Side {
            text: with.leak(),
            writes: message(name, written),
            reads: message(name, default),
        },
    }
}

/// The change the other way about: what came goes.
fn undone(change: Change) -> Change {
    Change {
        old: change.new,
        new: change.old,
    }
}

pub(crate) fn a_doc_changes(today: &str) -> Change {
    let today = Text::of(today);
    Change {
        old: side(&today),
        new: side(&today.documented_otherwise()),
    }
}

pub(crate) fn the_text_is_laid_out_otherwise(today: &str) -> Change {
    let change = Change {
        old: Side {
            text: today.to_owned().leak(),
            ..side(&Text::of(today))
        },
        new: side(&Text::of(today)),
    };
    assert_ne!(change.old.text, change.new.text);
    change
}

pub(crate) fn the_namespace_moves_into_the_name(today: &str) -> Change {
    let today = Text::of(today);
    Change {
        old: side(&today),
        new: side(&today.named_in_full()),
    }
}

pub(crate) fn fields_change_places(today: &str) -> Change {
    let today = Text::of(today);
    Change {
        old: side(&today),
        new: side(&today.reversed()),
    }
}

pub(crate) fn a_number_with_a_default_comes(today: &str) -> Change {
    comes(today, "priority", json!("int"), json!(5), json!(9))
}

pub(crate) fn a_number_with_a_default_goes(today: &str) -> Change {
    undone(a_number_with_a_default_comes(today))
}

pub(crate) fn an_optional_text_comes(today: &str) -> Change {
    let of = json!(["null", "string"]);
    comes(today, "note", of, json!(null), json!("ring twice"))
}

pub(crate) fn an_optional_text_goes(today: &str) -> Change {
    undone(an_optional_text_comes(today))
}

pub(crate) fn an_optional_time_comes(today: &str) -> Change {
    let of = json!(["null", {"type": "long", "logicalType": "timestamp-millis"}]);
    comes(
        today,
        "wanted_by",
        of,
        json!(null),
        json!(1_800_000_000_000_i64),
    )
}

pub(crate) fn a_map_comes(today: &str) -> Change {
    let of = json!({"type": "map", "values": "string"});
    comes(today, "labels", of, json!({}), json!({"origin": "phone"}))
}

pub(crate) fn an_array_of_records_comes(today: &str) -> Change {
    let of = json!({"type": "array", "items": {"type": "record", "name": "Voucher", "fields": [
        {"name": "code", "doc": "Its code.", "type": "string"},
        {"name": "amount_minor", "doc": "Its worth.", "type": "long"}]}});
    let written =
        json!([{"code": "SPRING", "amount_minor": 500}, {"code": "MAY", "amount_minor": 1}]);
    comes(today, "vouchers", of, json!([]), written)
}

pub(crate) fn an_array_of_records_goes(today: &str) -> Change {
    undone(an_array_of_records_comes(today))
}

pub(crate) fn a_nested_record_comes(today: &str) -> Change {
    let of = json!({"type": "record", "name": "Address", "fields": [
        {"name": "street", "doc": "The street.", "type": "string"},
        {"name": "floor", "doc": "0 is the ground floor.", "type": "int"}]});
    let default = json!({"street": "", "floor": 0});
    let written = json!({"street": "Mill Lane", "floor": 2});
    comes(today, "address", of, default, written)
}

pub(crate) fn a_nested_record_goes(today: &str) -> Change {
    undone(a_nested_record_comes(today))
}

pub(crate) fn a_field_of_the_lines_comes(today: &str) -> Change {
    let today = Text::of(today);
    let gift = field("gift", json!("boolean"), json!(false));
    Change {
        old: side(&today),
        new: Side {
            text: today.with_in_lines(&gift).leak(),
            writes: line("gift", json!(true)),
            reads: line("gift", json!(false)),
        },
    }
}

pub(crate) fn a_field_of_the_lines_goes(today: &str) -> Change {
    undone(a_field_of_the_lines_comes(today))
}

/// A field whose enum has the default symbol WEB.
fn channel(today: &str, symbols: &[&str], writes: &str, reads: &str) -> Side {
    let of = json!({"type": "enum", "name": "Channel", "symbols": symbols, "default": "WEB"});
    let text = Text::of(today).with(&field("channel", of, json!("WEB")));
    Side {
        text: text.leak(),
        writes: message("channel", json!(writes)),
        reads: message("channel", json!(reads)),
    }
}

pub(crate) fn an_enum_with_a_default_gets_a_symbol(today: &str) -> Change {
    Change {
        old: channel(today, &["WEB", "SHOP"], "SHOP", "WEB"),
        new: channel(today, &["PHONE", "WEB", "SHOP"], "PHONE", "SHOP"),
    }
}

pub(crate) fn an_enum_with_a_default_loses_a_symbol(today: &str) -> Change {
    undone(an_enum_with_a_default_gets_a_symbol(today))
}

pub(crate) fn symbols_change_places(today: &str) -> Change {
    Change {
        old: channel(today, &["WEB", "SHOP", "PHONE"], "SHOP", "PHONE"),
        new: channel(today, &["PHONE", "WEB", "SHOP"], "PHONE", "SHOP"),
    }
}

/// One side of a change of `on_shortage`, whose default symbol is BACKORDER: what is written of an
/// order that uses all, and what a reader makes of what the other side writes.
fn on_shortage(today: &str, symbols: &[&str], writes: &str, reads: &str) -> Side {
    Side {
        text: Text::of(today).on_shortage(symbols).leak(),
        writes: message("on_shortage", json!(writes)),
        reads: message("on_shortage", json!(reads)),
    }
}

/// A symbol that today's types do not have.
pub(crate) fn on_shortage_gets_a_symbol(today: &str) -> Change {
    let symbols = ["BACKORDER", "REJECT", "SPLIT"];
    Change {
        old: on_shortage(today, &symbols[..2], "BACKORDER", "BACKORDER"),
        new: on_shortage(today, &symbols, "SPLIT", "BACKORDER"),
    }
}

/// A symbol that today's rules obey: without it the order waits.
pub(crate) fn on_shortage_loses_a_symbol(today: &str) -> Change {
    let symbols = ["BACKORDER", "REJECT"];
    Change {
        old: on_shortage(today, &symbols, "REJECT", "BACKORDER"),
        new: on_shortage(today, &symbols[..1], "BACKORDER", "BACKORDER"),
    }
}

/// A field that today's type needs comes, with a default. Old readers are not today's type: only the
/// new ones can run here.
pub(crate) fn the_currency_comes(today: &str) -> Change {
    let today = Text::of(today).with_default("currency", &json!("EUR"));
    Change {
        old: side(&today.clone().without("currency")),
        new: Side {
            reads: message("currency", json!("EUR")),
            ..side(&today)
        },
    }
}

/// What a release that changes much does to one schema: fields come, go and change places, an enum
/// gets one symbol and loses another, the docs change.
pub(crate) fn everything_at_once(today: &str) -> Change {
    let symbols = |own: &str| json!({"type": "enum", "name": "Channel", "symbols": ["WEB", own], "default": "WEB"});
    let both = |own: &str| Text::of(today).with(&field("channel", symbols(own), json!("WEB")));
    let priority = field("priority", json!("int"), json!(5));
    let note = field("note", json!(["null", "string"]), json!(null));
    let gift = field("gift", json!("boolean"), json!(false));
    let old = both("SHOP").with(&priority);
    let new = both("PHONE")
        .with(&note)
        .with_in_lines(&gift)
        .documented_otherwise()
        .reversed();
    let met = || message("channel", json!("WEB"));
    Change {
        old: Side {
            text: old.leak(),
            writes: message("priority", json!(9)).and(message("channel", json!("SHOP"))),
            reads: message("priority", json!(5)).and(met()),
        },
        new: Side {
            text: new.leak(),
            writes: message("note", json!("ring twice"))
                .and(message("channel", json!("PHONE")))
                .and(line("gift", json!(true))),
            reads: message("note", json!(null))
                .and(line("gift", json!(false)))
                .and(met()),
        },
    }
}
