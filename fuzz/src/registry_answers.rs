//! What a registry answers, whoever it is.
//!
//! Answers with a zero byte between them: the first byte of each stands for its status, the others are
//! its body. A client asks for a schema, a number, a level and versions, and is given them in turn.
//! Promises: a schema that is taken is the one in the answer; that there is none is believed only of a
//! registry that says so; and what is told of any answer is one line of bearable length.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use messaging::codec::Schema;
use messaging::registry::access::Access;
use messaging::registry::confluent::ConfluentRegistry;
use messaging::registry::subjects::Subjects;
use messaging::registry::{Error, ErrorKind, SchemaId, SchemaRegistry};
use serde::Deserialize;
use tokio::runtime::{Builder, Runtime};

/// Bytes of memory.
pub const MEMORY: usize = 32 << 20;
/// Longest account of an answer, in bytes.
const DETAIL_BYTES_MAX: usize = 8 << 10;
/// What the first byte of an answer stands for.
pub const STATUSES: [u16; 8] = [200, 404, 409, 422, 500, 401, 204, 302];

/// A schema in an answer.
#[derive(Deserialize)]
struct Registered {
    schema: String,
}

/// A registry's own word that it does not know.
#[derive(Deserialize)]
struct Refusal {
    error_code: u32,
}

/// The answers that are still to come.
type Answers = Arc<Mutex<VecDeque<(u16, Vec<u8>)>>>;

/// A client, and a registry that gives the answers that it is told to. Both stay: a connection for each
/// trial would use up the machine's ports.
struct World {
    runtime: Runtime,
    registry: ConfluentRegistry,
    subjects: Subjects,
    answers: Answers,
}

/// Trial of a few answers.
pub fn run(data: &[u8]) {
    thread_local! {
        static WORLD: World = World::new();
    }
    WORLD.with(|world| {
        let answers = data.split(|byte| *byte == 0).filter_map(|answer| {
            let (status, body) = answer.split_first()?;
            let status = STATUSES[usize::from(*status) % STATUSES.len()];
            Some((status, body.to_vec()))
        });
        let answers: VecDeque<_> = answers.take(8).collect();
        *world.answers.lock().unwrap_or_else(PoisonError::into_inner) = answers.clone();
        world.runtime.block_on(world.ask(&answers));
    });
}

impl World {
    #[allow(
        clippy::disallowed_methods,
        reason = "the server under whose answers a client is tried"
    )]
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let answers = Answers::default();
        let given = Arc::clone(&answers);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let given = Arc::clone(&given);
                thread::spawn(move || serve(stream, &given));
            }
        });
        Self {
            runtime: Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime"),
            registry: ConfluentRegistry::new(&url).expect("a URL"),
            subjects: Subjects::secured(&url, &Access::default()).expect("a URL"),
            answers,
        }
    }

    async fn ask(&self, answers: &VecDeque<(u16, Vec<u8>)>) {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let first = answers.front().cloned().unwrap_or_default();
        match self.registry.schema(SchemaId(id)).await {
            Ok(schema) => is_of(&schema, &first.1),
            Err(error) => is_told(&error, &first.1),
        }
        // Whatever they are answered: with one line, and not with a panic.
        let told = [
            self.registry
                .register("orders-R", r#"{"type":"record","name":"R","fields":[]}"#)
                .await
                .err(),
            self.subjects.level("orders-R").await.err(),
            self.subjects.versions("orders-R").await.err(),
        ];
        told.iter().flatten().for_each(is_line);
    }
}

fn is_of(schema: &Schema, body: &[u8]) {
    let answer: Registered = serde_json::from_slice(body).expect("a schema comes in JSON");
    let given = Schema::parse(&answer.schema).expect("a schema");
    assert_eq!(given.name(), schema.name());
}

fn is_told(error: &Error, body: &[u8]) {
    if error.kind == ErrorKind::NotFound {
        let answer: Refusal = serde_json::from_slice(body).expect("a registry answers in JSON");
        assert!(
            matches!(answer.error_code, 40401..=40403),
            "{}",
            answer.error_code
        );
    }
    is_line(error);
}

fn is_line(error: &Error) {
    assert!(
        error.detail.len() <= DETAIL_BYTES_MAX,
        "{} bytes",
        error.detail.len()
    );
    assert!(!error.detail.contains('\n'), "{:?}", error.detail);
}

/// Gives each request of a connection the next answer.
fn serve(stream: TcpStream, answers: &Answers) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut stream = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(given) = line.strip_prefix("content-length:") {
                length = given.trim().parse().ok()?;
            }
            if line.is_empty() {
                break;
            }
        }
        std::io::copy(&mut stream.by_ref().take(length), &mut std::io::sink()).ok()?;
        let next = answers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front();
        let (status, body) = next.unwrap_or((500, Vec::new()));
        let body = if status == 204 { Vec::new() } else { body };
        let mut answer = format!("HTTP/1.1 {status} Answer\r\ncontent-type: application/json\r\n");
        if status != 204 {
            answer += &format!("content-length: {}\r\n", body.len());
        }
        let answer = [answer.as_bytes(), b"\r\n", &body].concat();
        stream.get_mut().write_all(&answer).ok()?;
    }
}
