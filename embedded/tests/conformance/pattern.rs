//! Bodies with names in them, for requests and for what is expected of answers.
//!
//! | in a pattern | stands for |
//! |---|---|
//! | `"$name"` | any value where the name comes first in an answer, and that value from then on |
//! | `"... $name ..."` | text with the value of the name in it |
//! | `"@name"` | the text of a schema; in an answer, the schema however it is spelled |
//! | `"*"` | in an answer: any text but none |
//! | `["...", a, b]` | in an answer: an array that has these among others |
//! | `{"...": "*", "key": a}` | in an answer: an object that has these among others |

use std::collections::BTreeMap;

use serde_json::Value;

const OTHERS: &str = "...";

/// What the names of a case stand for.
#[derive(Clone, Default)]
pub(crate) struct Names {
    values: BTreeMap<String, Value>,
    schemas: BTreeMap<String, Value>,
}

impl Names {
    /// Gives a name to a text.
    pub(crate) fn set(&mut self, name: &str, text: String) {
        self.values.insert(name.to_owned(), text.into());
    }

    /// Gives a name to a schema.
    pub(crate) fn set_schema(&mut self, name: &str, schema: Value) {
        self.schemas.insert(name.to_owned(), schema);
    }

    /// A text with values in place of names; a name that has none stays.
    pub(crate) fn fill_text(&self, text: &str) -> String {
        // Backwards, so that a longer name comes before one that it begins with.
        let values = self.values.iter().rev();
        values.fold(text.to_owned(), |text, (name, value)| {
            text.replace(&format!("${name}"), &plain(value))
        })
    }

    /// A body with values and schemas in place of names.
    pub(crate) fn fill(&self, body: &Value) -> Value {
        match body {
            Value::String(text) => match (text.strip_prefix('@'), text.strip_prefix('$')) {
                (Some(name), _) => self.schemas[name].to_string().into(),
                (_, Some(name)) if self.values.contains_key(name) => self.values[name].clone(),
                _ => self.fill_text(text).into(),
            },
            Value::Array(items) => items.iter().map(|item| self.fill(item)).collect(),
            Value::Object(map) => {
                let map = map
                    .iter()
                    .map(|(key, value)| (key.clone(), self.fill(value)));
                Value::Object(map.collect())
            }
            other => other.clone(),
        }
    }

    /// Whether an answer is what a pattern expects. If so, names that were new have values now.
    pub(crate) fn accept(&mut self, pattern: &Value, answer: &Value) -> bool {
        let mut names = self.clone();
        let accepted = names.fits(pattern, answer);
        if accepted {
            *self = names;
        }
        accepted
    }

    fn fits(&mut self, pattern: &Value, answer: &Value) -> bool {
        match (pattern, answer) {
            (Value::String(pattern), answer) => self.fits_text(pattern, answer),
            (Value::Array(patterns), Value::Array(answers)) => match patterns.split_first() {
                Some((others, patterns)) if others == OTHERS => patterns
                    .iter()
                    .all(|pattern| answers.iter().any(|answer| self.accept(pattern, answer))),
                _ => {
                    patterns.len() == answers.len()
                        && patterns
                            .iter()
                            .zip(answers)
                            .all(|(pattern, answer)| self.fits(pattern, answer))
                }
            },
            (Value::Object(patterns), Value::Object(answers)) => {
                let among_others = patterns.contains_key(OTHERS);
                let mut expected = patterns.iter().filter(|(key, _)| *key != OTHERS);
                (among_others || patterns.len() == answers.len())
                    && expected.all(|(key, pattern)| {
                        answers
                            .get(key)
                            .is_some_and(|answer| self.fits(pattern, answer))
                    })
            }
            (pattern, answer) => pattern == answer,
        }
    }

    fn fits_text(&mut self, pattern: &str, answer: &Value) -> bool {
        if pattern == "*" {
            return answer.as_str().is_some_and(|text| !text.is_empty());
        }
        if let Some(name) = pattern.strip_prefix('@') {
            let schema = &self.schemas[name];
            let spelled = answer
                .as_str()
                .and_then(|text| serde_json::from_str(text).ok());
            return schema == answer || spelled.as_ref() == Some(schema);
        }
        if let Some(name) = pattern.strip_prefix('$')
            && name.chars().all(|letter| letter.is_ascii_lowercase())
        {
            let known = self.values.entry(name.to_owned());
            return known.or_insert_with(|| answer.clone()) == answer;
        }
        *answer == *self.fill_text(pattern)
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn names() -> Names {
        let mut names = Names::default();
        names.set("subject", "orders".to_owned());
        names.set_schema("id", json!({"type": "int"}));
        names
    }

    #[test]
    fn a_name_has_one_value() {
        let mut names = names();
        assert!(names.accept(&json!({"id": "$id"}), &json!({"id": 7})));
        assert!(names.accept(&json!(["$id", "$other"]), &json!([7, 8])));
        assert!(!names.accept(&json!("$id"), &json!(8)));
        assert_eq!(names.fill_text("/$subject/$id/$new"), "/orders/7/$new");
        let filled = names.fill(&json!({"id": "$id", "text": "no $id", "schema": "@id"}));
        let expected = json!({"id": 7, "text": "no 7", "schema": r#"{"type":"int"}"#});
        assert_eq!(filled, expected);
    }

    #[test]
    fn what_is_refused_gives_no_name_a_value() {
        let mut names = names();
        assert!(!names.accept(&json!(["$id", 1]), &json!([7, 2])));
        assert!(names.accept(&json!("$id"), &json!(8)));
    }

    #[test]
    fn shapes_are_exact_unless_there_may_be_others() {
        let mut names = names();
        for (pattern, fitting, unfitting) in [
            (json!({"a": 1}), json!({"a": 1}), json!({"a": 1, "b": 2})),
            (
                json!({"...": "*", "a": 1}),
                json!({"a": 1, "b": 2}),
                json!({"b": 2}),
            ),
            (json!([1, 2]), json!([1, 2]), json!([2, 1])),
            (json!(["...", 1]), json!([2, 1]), json!([2])),
            (json!("*"), json!("text"), json!("")),
            (
                json!("no $subject"),
                json!("no orders"),
                json!("no $subject"),
            ),
            (json!("@id"), json!(r#"{ "type": "int" }"#), json!("int")),
            (
                json!("@id"),
                json!({"type": "int"}),
                json!({"type": "long"}),
            ),
            (json!(null), json!(null), json!(0)),
        ] {
            assert!(names.accept(&pattern, &fitting), "{pattern} {fitting}");
            assert!(!names.accept(&pattern, &unfitting), "{pattern} {unfitting}");
        }
    }
}
