use std::io;
use std::time::Duration;

use serde_json::Value as Json;
use tracing_subscriber::layer::SubscriberExt;

use super::*;
use crate::clock::Timestamp;
use crate::limits::{LOG_BURST, LOG_VALUE_BYTES_MAX, LOG_WINDOW};

/// A clock that a test moves.
#[derive(Default)]
pub(crate) struct Hand(Mutex<Duration>);

#[async_trait::async_trait]
impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp(1_795_000_000_123)
    }

    fn monotonic(&self) -> Duration {
        *self.0.lock().unwrap()
    }

    async fn sleep(&self, _: Duration) {}
}

#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl io::Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is written while `work` runs on this thread, with the hand of the layer's clock.
pub(crate) fn written(format: LogFormat, work: impl FnOnce(&Hand)) -> String {
    let (paper, hand) = (Paper::default(), Arc::new(Hand::default()));
    let lines = Lines::new(
        format,
        false,
        Arc::clone(&hand) as Arc<dyn Clock>,
        paper.clone(),
    );
    let subscriber = tracing_subscriber::registry().with(lines);
    tracing::subscriber::with_default(subscriber, || work(&hand));
    String::from_utf8(paper.0.lock().unwrap().clone()).unwrap()
}

fn json(work: impl FnOnce(&Hand)) -> Vec<Json> {
    let text = written(LogFormat::Json, work);
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_line_has_the_same_beginning_and_flat_fields() {
    let tell = |_: &Hand| {
        let trace_id = Some("4bf92f3577b34da6a3ce929d0e0e4736");
        let key = None::<&str>;
        tracing::warn!(
            order_id = "O 1",
            trace_id,
            key,
            shard = 3_i32,
            "message set aside"
        );
    };
    let text = written(LogFormat::Json, tell);
    let begin = format!(
        r#"{{"timestamp":"{}","level":"WARN","target":"{}","message":"#,
        Hand::default().now(),
        module_path!()
    );
    assert!(text.starts_with(&begin), "{text}");
    let line = &json(tell)[0];
    assert_eq!(line["message"], "message set aside");
    assert_eq!(line["level"], "WARN");
    assert_eq!(line["order_id"], "O 1");
    assert_eq!(line["shard"], 3);
    assert_eq!(line["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert!(
        line.get("key").is_none(),
        "what is not known is left out: {line}"
    );
    let text = written(LogFormat::Text, tell);
    assert!(
        text.ends_with(" message set aside order_id=\"O 1\" trace_id=4bf92f3577b34da6a3ce929d0e0e4736 shard=3\n"),
        "{text}"
    );
}

#[test]
fn what_is_no_field_of_the_table_is_left_out() {
    let text = written(LogFormat::Text, |_| {
        tracing::warn!(
            db.statement = "SELECT secret",
            customer_id = "C1",
            topic = "t",
            "slow statement"
        );
    });
    assert!(text.ends_with(": slow statement topic=t\n"), "{text}");
}

#[test]
fn a_clients_text_ends_no_line_and_fills_no_disk() {
    for format in [LogFormat::Text, LogFormat::Json] {
        let text = written(format, |_| {
            let forged = "x\r\n2026 ERROR all is lost \x1b[2J\u{9b}\"";
            tracing::warn!(topic = forged, error = %"é".repeat(100_000), "refused");
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        let tail = &text[..text.len() - 1];
        assert!(
            !tail.contains(|c: char| c.is_control() && format == LogFormat::Text),
            "{text:?}"
        );
        assert!(text.len() < LOG_VALUE_BYTES_MAX + 512, "{}", text.len());
        assert!(text.contains('…'));
    }
}

#[test]
fn a_line_says_what_the_work_around_it_is_about() {
    let lines = json(|_| {
        let call = tracing::error_span!("call", trace_id = "client", service = "gateway");
        let _call = call.enter();
        let command = tracing::error_span!("command", order_id = "O1", trace_id = "own");
        command.in_scope(|| tracing::error!(service = "order", "not accepted"));
        tracing::info!("another");
    });
    assert_eq!(lines[0]["order_id"], "O1");
    assert_eq!(lines[0]["trace_id"], "own");
    assert_eq!(lines[0]["service"], "order");
    assert_eq!(lines[1]["trace_id"], "client");
    assert!(lines[1].get("order_id").is_none());
}

#[test]
fn a_flood_is_counted_for_each_thing_and_debug_is_not_limited() {
    let lines = json(|hand| {
        let burst = i32::try_from(LOG_BURST).unwrap();
        let tell = |shard: i32, order: i32| {
            tracing::warn!(shard, order_id = order.to_string(), "message set aside");
        };
        for order in 0..burst + 5 {
            tell(1, order);
        }
        tell(2, 0);
        *hand.0.lock().unwrap() = LOG_WINDOW;
        tell(1, 99);
        tell(2, 99);
        for _ in 0..burst * 2 {
            tracing::debug!("each message");
        }
    });
    let told = |shard: i32| lines.iter().filter(move |line| line["shard"] == shard);
    assert_eq!(told(1).count(), LOG_BURST as usize + 1);
    assert_eq!(told(1).next_back().unwrap()["suppressed"], 5);
    assert_eq!(told(2).count(), 2);
    assert!(told(2).all(|line| line.get("suppressed").is_none()));
    let each = lines
        .iter()
        .filter(|line| line["message"] == "each message");
    assert_eq!(each.count(), LOG_BURST as usize * 2);
}
