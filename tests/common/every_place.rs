//! Tests of a store that keeps what it keeps here, on PostgreSQL, on Apache Kafka.

/// Runs each test at every place.
macro_rules! at_every_place {
    ($($test:ident,)*) => {
        mod here {
            $(#[tokio::test]
            async fn $test() {
                super::$test($crate::common::place::Place::default()).await;
            })*
        }

        mod postgres {
            $(#[tokio::test]
            #[ignore = "set MESSAGING_TEST_POSTGRES=postgres://..., see tests/postgres"]
            async fn $test() {
                $crate::common::place::on_postgres(super::$test).await;
            })*
        }

        mod cluster {
            $(#[tokio::test]
            #[ignore = "needs Kafka: export $(tests/kafka up), which sets MESSAGING_TEST_KAFKA"]
            async fn $test() {
                $crate::common::place::on_a_cluster(super::$test).await;
            })*
        }
    };
}
