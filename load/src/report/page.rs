//! One page with everything that came out, which needs nothing else to be shown.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::Report;
use crate::limits::Beside;
use crate::plan::{Names, Pace, Plan, Until, Way};
use crate::tally::Outcome;

const STYLE: &str = include_str!("page.css");

/// The page; `latency` and `throughput` are its plots, as SVG.
pub(super) fn page(plan: &Plan, report: &Report, latency: &str, throughput: &str) -> String {
    let over_time = "Each point tells of its own interval. RESERVED orders go on after the last \
                     answer until every order has its outcome.";
    let percentiles = "Times count from the call, or from when it was due in an open loop: to its \
                       acknowledgement, which means durable, and to the event with its order's outcome. \
                       Each step to the right is one further nine.";
    let sections = [
        ("What was asked", asked(plan)),
        ("What became of it", outcomes(report)),
        ("Latency", times(report)),
        ("", plot(latency, "latency.svg", percentiles)),
        ("Over time", plot(throughput, "throughput.svg", over_time)),
        ("Processes", processes(report)),
        ("Per order", per_order(report)),
    ];
    let limits = report.limits.as_ref().map(limits);
    let limits = limits.map(|content| ("Beside the limits of the machine", content));
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width";
                title { "shop load" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "shop load" }
                (head(report))
                @for (title, content) in sections.into_iter().chain(limits) {
                    section {
                        @if !title.is_empty() { h2 { (title) } }
                        (content)
                    }
                }
                p { "All figures: " a href="report.json" { "report.json" } }
            }
        }
    };
    page.into_string()
}

/// What most people came for.
fn head(report: &Report) -> Markup {
    let figures = [
        (
            format!("{:.0}", report.accepted_per_second),
            "accepted per second",
        ),
        (
            format!("{:.0}", report.reserved_per_second),
            "RESERVED per second, drain included",
        ),
        (
            format!("{:.2} ms", report.acknowledged_ms.p50),
            "median acknowledgement",
        ),
        (
            format!("{:.2} ms", report.acknowledged_ms.p99),
            "99th percentile of them",
        ),
    ];
    html! {
        div.big {
            @for (figure, what) in figures { div { b { (figure) } (what) } }
        }
    }
}

fn asked(plan: &Plan) -> Markup {
    let pace = match plan.pace {
        Pace::Closed { callers } => format!("closed loop, {callers} callers"),
        Pace::Open { per_second } => format!("open loop, {per_second} orders per second"),
    };
    let way = match plan.way {
        Way::Unary => "a call per order (PlaceOrder)",
        Way::Stream => "streams (PlaceOrders)",
    };
    let until = match plan.until {
        Until::Orders(orders) => format!("{orders} orders"),
        Until::Time(time) => format!("{} s", time.as_secs_f64()),
    };
    let names = match plan.names {
        Names::Rising => "by time (UUIDv7)",
        Names::Random => "at random",
    };
    let answered = match plan.waits_for_reserved {
        true => "when the order is RESERVED",
        false => "when the order is accepted",
    };
    let share = |share: f64| format!("{} %", share * 100.0);
    list([
        ("Pace", pace),
        ("Way", way.to_owned()),
        ("For", until),
        ("Products", plan.products.to_string()),
        ("Skew (Zipf's exponent)", plan.skew.to_string()),
        ("Repeated calls", share(plan.duplicates)),
        ("Orders short of stock", share(plan.shortages)),
        ("Cancelled orders", share(plan.cancels)),
        ("Orders are named", names.to_owned()),
        ("Calls are answered", answered.to_owned()),
        (
            "Orders on their way, at most",
            plan.in_flight_max.to_string(),
        ),
        ("Seed", plan.seed.to_string()),
    ])
}

fn outcomes(report: &Report) -> Markup {
    let count = |outcome| {
        let count = report.outcomes.get(&outcome).copied();
        count.unwrap_or_default().to_string()
    };
    let came = [
        ("Accepted calls", report.accepted.to_string()),
        ("Of them repeated an order", report.repeated.to_string()),
        ("RESERVED", count(Outcome::Reserved)),
        ("Rejected", count(Outcome::Rejected)),
        ("Cancelled", count(Outcome::Cancelled)),
        ("Without an outcome", report.without_outcome.to_string()),
        ("Until the last answer", format!("{:.1} s", report.seconds)),
        (
            "Until the last outcome",
            format!("{:.1} s", report.seconds_with_drain),
        ),
    ];
    let errors = report.errors.iter();
    let errors = errors.map(|(code, count)| (code.as_str(), count.to_string()));
    html! {
        (list(came))
        @if report.errors.is_empty() {
            p { "No call failed." }
        } @else {
            h2 { "Failed calls" }
            (list(errors))
        }
    }
}

fn times(report: &Report) -> Markup {
    let rows = report.times().map(|(name, times)| {
        let millis = times.map(|ms| format!("{ms:.2}"));
        (name.to_owned(), millis.to_vec())
    });
    figures(&["ms", "50 %", "90 %", "99 %", "99.9 %", "longest"], rows)
}

fn processes(report: &Report) -> Markup {
    let rows = report.processes.iter().map(|process| {
        let used = [
            format!("{} MiB", process.resident_bytes_max >> 20),
            format!("{:.1} s", process.cpu_seconds),
            format!("{} MiB", process.written_bytes >> 20),
        ];
        (process.parts.join(", "), used.to_vec())
    });
    let columns = ["what runs in it", "memory, at most", "processor", "written"];
    figures(&columns, rows)
}

fn per_order(report: &Report) -> Markup {
    let counters = report.per_order.0.iter();
    let rows = counters.map(|(name, value)| (name.replace('_', " "), vec![format!("{value:.3}")]));
    figures(&["the store's own counters", "per accepted call"], rows)
}

fn limits(beside: &Beside) -> Markup {
    let Beside {
        limits,
        share_of,
        binds,
    } = beside;
    let rows = [
        (
            "gRPC",
            limits.grpc.calls_per_second,
            share_of.grpc,
            limits.grpc.to_string(),
        ),
        (
            "log",
            limits.log.orders_per_second,
            share_of.log,
            limits.log.to_string(),
        ),
        (
            "database",
            limits.database.orders_per_second,
            share_of.database,
            limits.database.to_string(),
        ),
        (
            "combined",
            limits.combined_orders_per_second,
            share_of.combined,
            "1 / (1/gRPC + 1/log + 1/database)".to_owned(),
        ),
    ];
    let rows = rows.map(|(name, rate, share, what)| {
        let figures = vec![
            format!("{rate:.0}"),
            format!("{:.0} %", 100.0 * share),
            what,
        ];
        (name.to_owned(), figures)
    });
    let columns = [
        "each alone",
        "orders per second",
        "RESERVED, as a share",
        "what",
    ];
    let disk = &limits.disk;
    html! {
        (figures(&columns, rows))
        p {
            "The lowest limit is that of " (binds) ". The disk syncs "
            (format!("{:.0}", disk.syncs_per_second)) " times per second (" (disk) ")."
        }
    }
}

/// Names and what they stand for.
fn list<'a>(rows: impl IntoIterator<Item = (&'a str, String)>) -> Markup {
    html! {
        table {
            @for (name, value) in rows { tr { th scope="row" { (name) } td { (value) } } }
        }
    }
}

/// Rows of figures under their columns, the first of which names the row.
fn figures(columns: &[&str], rows: impl IntoIterator<Item = (String, Vec<String>)>) -> Markup {
    html! {
        table.figures {
            tr { @for column in columns { th scope="col" { (column) } } }
            @for (name, values) in rows {
                tr {
                    th scope="row" { (name) }
                    @for value in values { td { (value) } }
                }
            }
        }
    }
}

fn plot(svg: &str, file: &str, caption: &str) -> Markup {
    html! {
        figure {
            (PreEscaped(svg))
            figcaption { (caption) " " a href=(file) { (file) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::plan;
    use crate::report::tests::report;

    #[test]
    fn the_page_tells_what_was_asked_and_what_came_out() {
        let report = report();
        let page = page(&plan(), &report, "<svg id='one'/>", "<svg id='two'/>");
        let p99 = format!("{:.2}", report.acknowledged_ms.p99);
        for text in [
            "closed loop, 1 callers",
            "a call per order (PlaceOrder)",
            "<td>1000</td>",
            "<td>990</td>",
            "Unavailable",
            &p99,
            "<svg id='one'/>",
            "<svg id='two'/>",
        ] {
            assert!(page.contains(text), "{text}");
        }
    }

    #[test]
    fn limits_have_a_section_if_they_were_measured() {
        let mut report = report();
        let without = page(&plan(), &report, "", "");
        assert!(!without.contains("Beside the limits"), "{without}");
        report.limits = Some(crate::limits::tests::limits().beside(6_000.0));
        let with = page(&plan(), &report, "", "");
        for text in ["<td>20000</td>", "<td>60 %</td>", "that of database"] {
            assert!(with.contains(text), "{text} in {with}");
        }
    }

    #[test]
    fn names_from_elsewhere_are_text() {
        let mut report = report();
        let usage = crate::processes::Usage {
            parts: vec!["<script>alert(1)</script>".to_owned()],
            resident_bytes_max: 1 << 20,
            cpu_seconds: 1.0,
            written_bytes: 0,
        };
        report.processes.push(usage);
        report.errors.insert("\"><b>&".to_owned(), 1);
        let page = page(&plan(), &report, "", "");
        assert!(
            !page.contains("<script>") && !page.contains("<b>&"),
            "{page}"
        );
        assert!(page.contains("&lt;script&gt;") && page.contains("&lt;b&gt;&amp;"));
    }

    #[test]
    fn the_page_needs_nothing_from_elsewhere() {
        let report = report();
        let [latency, throughput] = [
            crate::report::plots::latency(&report).unwrap(),
            crate::report::plots::throughput(&report).unwrap(),
        ];
        let page = page(&plan(), &report, &latency, &throughput);
        let page = page.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
        for outside in ["://", "src=", "@import", "url(", "<script", "<link"] {
            assert!(!page.contains(outside), "{outside}");
        }
    }
}
