//! The wiring between Rust types and the wire that is the same for every message.

/// Implements [`messaging::message::Message`]: `Type, "namespace.Name", TOPIC, SCHEMA, key field`.
macro_rules! message {
    ($type:ident, $name:literal, $topic:ident, $schema:ident, $key:ident) => {
        impl messaging::message::Message for $type {
            const TYPE: &'static str = $name;
            const TOPIC: &'static str = crate::topics::$topic;
            const SCHEMA: &'static str = crate::schema::newest::$schema;

            fn key(&self) -> &str {
                &self.$key
            }
        }
    };
}

/// As `message!`, and implements [`messaging::message::Event`] for a type with a `version`.
macro_rules! event {
    ($type:ident, $name:literal, $topic:ident, $schema:ident, $key:ident, $aggregate:ident) => {
        message!($type, $name, $topic, $schema, $key);

        impl messaging::message::Event for $type {
            const AGGREGATE: &'static str = $aggregate;

            fn version(&self) -> i64 {
                self.version
            }
        }
    };
}

/// An enum over message types, with what can be said of all of them.
macro_rules! messages {
    ($(#[$doc:meta])* $enum:ident { $($variant:ident($type:ident)),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum $enum {
            $(
                #[doc = concat!("[`", stringify!($type), "`].")]
                $variant($type),
            )+
        }

        impl $enum {
            /// The message types, with their topics and newest schemas.
            pub const REGISTRATIONS: &'static [messaging::message::Registration] =
                &[$(messaging::message::Registration::of::<$type>()),+];

            /// Decodes a datum written with `schema`; `None` for a type that is not among these.
            #[must_use]
            pub fn decode(
                message_type: &str,
                schema: &messaging::codec::Schema,
                datum: &[u8],
            ) -> Option<Result<Self, messaging::codec::Error>> {
                match message_type {
                    $(<$type as messaging::message::Message>::TYPE => {
                        Some(messaging::message::decode(schema, datum).map(Self::$variant))
                    })+
                    _ => None,
                }
            }

            /// The id that is the record's key.
            #[must_use]
            pub fn key(&self) -> &str {
                match self {
                    $(Self::$variant(message) => messaging::message::Message::key(message),)+
                }
            }
        }

        $(
            impl From<$type> for $enum {
                fn from(message: $type) -> Self {
                    Self::$variant(message)
                }
            }
        )+
    };
}

/// As `messages!`, over events.
macro_rules! events {
    ($(#[$doc:meta])* $enum:ident { $($variant:ident($type:ident)),+ $(,)? }) => {
        messages! { $(#[$doc])* $enum { $($variant($type)),+ } }

        impl $enum {
            /// The aggregate's version after the change.
            #[must_use]
            pub fn version(&self) -> i64 {
                match self {
                    $(Self::$variant(event) => messaging::message::Event::version(event),)+
                }
            }

            /// Encodes the event for the log.
            ///
            /// # Errors
            /// When the type was not bound, or the value does not fit its schema.
            pub fn encode(
                &self,
                writer: &messaging::message::Writer,
            ) -> Result<messaging::message::Encoded, messaging::codec::Error> {
                match self {
                    $(Self::$variant(event) => writer.event(event),)+
                }
            }
        }
    };
}

pub(crate) use {event, events, message, messages};
