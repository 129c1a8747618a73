//! What came out, drawn: SVG that needs nothing else, dark on white.

use std::io;
use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{
    BoldPoints, KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter,
};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use super::Report;
use super::distribution::nines;
use super::series::Point;

/// Why nothing is drawn.
pub(super) type Failure = DrawingAreaErrorKind<io::Error>;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const WIDTH: u32 = 960;
const LATENCY_HEIGHT: u32 = 480;
const OVER_TIME_HEIGHT: u32 = 900;
/// Height of the line with a chart's title and the names of its curves.
const HEAD_HEIGHT: i32 = 42;
const FONT: &str = "sans-serif";
// In the backend's measure, of which 1.24 are a pixel.
const TITLE_SIZE: u32 = 21;
const TEXT_SIZE: u32 = 15;
/// Ticks of an axis from 0, about.
const TICKS: usize = 8;
/// Ticks of an axis of powers, at most, while they stand closer than at each power.
const FINE_TICKS_MAX: usize = 13;
/// The shortest time that is drawn, in milliseconds; an axis of powers has no 0.
const MS_MIN: f64 = 1e-3;

// Colours that the colour-blind tell apart (Okabe and Ito).
const BLUE: RGBColor = RGBColor(0, 114, 178);
const ORANGE: RGBColor = RGBColor(213, 94, 0);
const PURPLE: RGBColor = RGBColor(170, 80, 140);
const GREY: RGBColor = RGBColor(150, 150, 150);

struct Curve {
    name: &'static str,
    color: RGBColor,
    /// From left to right; where a value is not known, the line breaks.
    points: Vec<(f64, Option<f64>)>,
}

#[derive(Clone)]
struct Axis {
    title: &'static str,
    range: Range<f64>,
    ticks: Vec<f64>,
    label: fn(f64) -> String,
}

/// Latencies over their percentiles, each further nine one step to the right.
pub(super) fn latency(report: &Report) -> Result<String, Failure> {
    let (acknowledged, settled) = (
        &report.acknowledged_distribution,
        &report.settled_distribution,
    );
    let curves = [
        ("acknowledged", BLUE, acknowledged),
        ("settled", ORANGE, settled),
    ];
    let curves = curves.map(|(name, color, times)| Curve {
        name,
        color,
        points: powers(
            times
                .curve()
                .into_iter()
                .map(|(nines, ms)| (nines, Some(ms))),
        ),
    });
    let all = nines(1.0, acknowledged.count.max(settled.count));
    let mut ticks = vec![0.0, nines(0.5, u64::MAX)];
    ticks.extend((1..).map(f64::from).take_while(|nines| *nines <= all));
    let percentiles = Axis {
        title: "share of the orders that took no longer",
        range: 0.0..all.max(1.0) * 1.02,
        ticks,
        label: percent,
    };
    let millis = Axis::powers("milliseconds", &curves);
    draw(LATENCY_HEIGHT, |area| {
        chart(&area, "Latency", &percentiles, &millis, &curves)
    })
}

/// The load over time: orders per second, orders on their way, and latencies.
pub(super) fn throughput(report: &Report) -> Result<String, Failure> {
    let curve = |name, color, value: fn(&Point) -> Option<f64>| Curve {
        name,
        color,
        points: over_time(&report.over_time, value),
    };
    let mut rates = vec![
        curve("accepted", BLUE, |point| Some(point.accepted_per_second)),
        curve("RESERVED", ORANGE, |point| Some(point.reserved_per_second)),
    ];
    let in_flight = [curve("most that were seen", PURPLE, |point| {
        #[expect(clippy::cast_precision_loss, reason = "as many as there is room for")]
        point.in_flight_max.map(|count| count as f64)
    })];
    let mut latencies = [
        curve("median", BLUE, |point| point.acknowledged_p50_ms),
        curve("99th percentile", ORANGE, |point| point.acknowledged_p99_ms),
    ];
    for latency in &mut latencies {
        latency.points = powers(std::mem::take(&mut latency.points).into_iter());
    }
    let per_second = Axis::linear("orders per second", most(&rates) * 1.05);
    rates.push(Curve {
        name: "last answer",
        color: GREY,
        points: [0.0, per_second.range.end]
            .map(|rate| (report.seconds, Some(rate)))
            .to_vec(),
    });
    let time = Axis::linear("seconds since the first call", report.seconds_with_drain);
    let orders = Axis::linear("orders", most(&in_flight) * 1.05);
    let millis = Axis::powers("milliseconds", &latencies);
    draw(OVER_TIME_HEIGHT, |area| {
        let charts: [(&str, &Axis, &[Curve]); 3] = [
            ("Throughput", &per_second, &rates),
            ("Orders on their way", &orders, &in_flight),
            ("Acknowledgement, interval by interval", &millis, &latencies),
        ];
        for (area, (title, y, curves)) in area.split_evenly((3, 1)).iter().zip(charts) {
            chart(area, title, &time, y, curves)?;
        }
        Ok(())
    })
}

/// A value of every interval, in the interval's middle.
fn over_time(points: &[Point], value: fn(&Point) -> Option<f64>) -> Vec<(f64, Option<f64>)> {
    let middle = |point: &Point| point.from_seconds + point.seconds / 2.0;
    let points = points.iter();
    points.map(|point| (middle(point), value(point))).collect()
}

/// Milliseconds as powers of ten.
fn powers(points: impl Iterator<Item = (f64, Option<f64>)>) -> Vec<(f64, Option<f64>)> {
    let power = |ms: f64| ms.max(MS_MIN).log10();
    points.map(|(x, ms)| (x, ms.map(power))).collect()
}

fn values(curves: &[Curve]) -> impl Iterator<Item = f64> {
    let points = curves.iter().flat_map(|curve| &curve.points);
    points.filter_map(|(_, value)| *value)
}

fn most(curves: &[Curve]) -> f64 {
    values(curves).fold(0.0, f64::max)
}

/// A share by its nines, in percent: 2 is `99 %`, 3 is `99.9 %`.
fn percent(nines: f64) -> String {
    let share = 1.0 - 10_f64.powf(-nines);
    let whole_nines = (0..).take_while(|n| f64::from(*n) < nines - 2.0).count();
    format!("{:.*} %", whole_nines, share * 100.0)
}

/// A power of ten with the digits that tell it from its neighbours among the ticks.
fn power(exponent: f64) -> String {
    let small = (1..).take_while(|n| exponent < f64::from(1 - n) - 1e-9);
    format!("{:.*}", small.count(), 10_f64.powf(exponent))
}

impl Axis {
    /// From 0 to `to`.
    fn linear(title: &'static str, to: f64) -> Self {
        let range = 0.0..if to > 0.0 { to } else { 1.0 };
        Self {
            title,
            ticks: RangedCoordf64::from(range.clone()).key_points(BoldPoints(TICKS)),
            range,
            label: |value| format!("{}", (value * 1e3).round() / 1e3),
        }
    }

    /// Powers of ten around all values of `curves`; ticks at 1, 2 and 5, or at each power alone where
    /// those would be too many.
    fn powers(title: &'static str, curves: &[Curve]) -> Self {
        let least = values(curves).reduce(f64::min).unwrap_or(0.0);
        let most = values(curves).reduce(f64::max).unwrap_or(1.0);
        let ticks = |of: &[f64]| -> Vec<f64> {
            let decades = (-3..=7).map(f64::from);
            let all: Vec<_> = decades
                .flat_map(|decade| of.iter().map(move |digit| decade + digit.log10()))
                .collect();
            let from = all.iter().rposition(|tick| *tick <= least);
            let to = all.iter().position(|tick| *tick > most);
            all[from.unwrap_or(0)..=to.unwrap_or(all.len() - 1)].to_vec()
        };
        let mut fine = ticks(&[1.0, 2.0, 5.0]);
        let range = fine[0]..fine[fine.len() - 1];
        if fine.len() > FINE_TICKS_MAX {
            fine = ticks(&[1.0]);
            fine.retain(|tick| range.start <= *tick && *tick <= range.end);
        }
        Self {
            title,
            ticks: fine,
            range,
            label: power,
        }
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, pixels: (i32, i32)) -> i32 {
        RangedCoordf64::from(self.range.clone()).map(value, pixels)
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        (self.label)(*value)
    }
}

fn draw(height: u32, on: impl FnOnce(Area<'_>) -> Result<(), Failure>) -> Result<String, Failure> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        area.fill(&WHITE)?;
        on(area.clone())?;
        area.present()?;
    }
    Ok(svg)
}

fn chart(
    area: &Area<'_>,
    title: &str,
    x: &Axis,
    y: &Axis,
    curves: &[Curve],
) -> Result<(), Failure> {
    let (above, below) = area.split_vertically(HEAD_HEIGHT);
    head(&above, title, curves)?;
    let mut chart = ChartBuilder::on(&below)
        .margin_left(8)
        .margin_right(24)
        .margin_bottom(6)
        .x_label_area_size(44)
        .y_label_area_size(76)
        .build_cartesian_2d(x.clone(), y.clone())?;
    chart
        .configure_mesh()
        .bold_line_style(BLACK.mix(0.12))
        .light_line_style(TRANSPARENT)
        .label_style((FONT, TEXT_SIZE))
        .axis_desc_style((FONT, TEXT_SIZE))
        .x_desc(x.title)
        .y_desc(y.title)
        .draw()?;
    for curve in curves {
        for run in curve.points.split(|(_, value)| value.is_none()) {
            let run: Vec<_> = run.iter().filter_map(|(x, y)| Some((*x, (*y)?))).collect();
            if let [alone] = run[..] {
                chart.draw_series([Circle::new(alone, 4, curve.color.filled())])?;
            } else {
                chart.draw_series(LineSeries::new(run, curve.color.stroke_width(2)))?;
            }
        }
    }
    Ok(())
}

/// The title, and to the right the curves' names in their colours.
fn head(area: &Area<'_>, title: &str, curves: &[Curve]) -> Result<(), Failure> {
    let style = (FONT, TITLE_SIZE).into_text_style(area);
    area.draw_text(title, &style, (12, 10))?;
    let mut right = i32::try_from(WIDTH).unwrap_or(i32::MAX) - 24;
    for curve in curves.iter().rev() {
        let style = (FONT, TEXT_SIZE).into_text_style(area);
        let (width, _) = area.estimate_text_size(curve.name, &style)?;
        right -= i32::try_from(width).unwrap_or(i32::MAX);
        area.draw_text(curve.name, &style, (right, 13))?;
        let sample = Rectangle::new([(right - 24, 17), (right - 6, 21)], curve.color.filled());
        area.draw(&sample)?;
        right -= 44;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use roxmltree::Document;

    use super::*;
    use crate::report::tests::report;

    /// A plot's texts, and how many points each of its curves has.
    fn read(svg: &str) -> (Vec<String>, Vec<usize>) {
        let document = Document::parse(svg).unwrap();
        let named = |name: &'static str| {
            let all = document.descendants();
            all.filter(move |node| node.has_tag_name(("http://www.w3.org/2000/svg", name)))
        };
        let texts = named("text").filter_map(|text| Some(text.text()?.trim().to_owned()));
        let curves = named("polyline").filter(|line| line.attribute("stroke-width") == Some("2"));
        let points = curves.filter_map(|curve| curve.attribute("points"));
        let points = points.map(|points| points.split_whitespace().count());
        (texts.collect(), points.collect())
    }

    fn says(texts: &[String], expected: &[&str]) {
        for text in expected {
            assert!(texts.iter().any(|found| found == text), "{text}: {texts:?}");
        }
    }

    #[test]
    fn latency_has_a_curve_per_kind_over_the_nines() {
        let report = report();
        let (texts, points) = read(&latency(&report).unwrap());
        says(&texts, &["0 %", "50 %", "90 %", "99 %", "99.9 %"]);
        says(&texts, &["1", "10", "100", "1000", "milliseconds"]);
        says(&texts, &["Latency", "acknowledged", "settled"]);
        assert!(!texts.iter().any(|text| text == "99.99 %"), "{texts:?}");
        let marks = |times: &crate::report::Distribution| times.marks.len();
        let (acknowledged, settled) = (
            marks(&report.acknowledged_distribution),
            marks(&report.settled_distribution),
        );
        assert_eq!(points, [acknowledged, settled]);
    }

    #[test]
    fn over_time_every_interval_is_a_point_and_a_line_breaks_where_nothing_is_known() {
        let mut report = report();
        let (texts, points) = read(&throughput(&report).unwrap());
        says(&texts, &["accepted", "RESERVED", "last answer"]);
        says(&texts, &["Orders on their way", "orders per second"]);
        says(&texts, &["median", "99th percentile", "0", "500"]);
        // Accepted, RESERVED, the last answer's line; in flight; median and 99th of two intervals.
        assert_eq!(points, [3, 3, 2, 3, 2, 2]);
        // The middle one of five is not known.
        report.over_time.extend(report.over_time.clone());
        report.over_time.pop();
        let (_, points) = read(&throughput(&report).unwrap());
        assert_eq!(points, [5, 5, 2, 5, 2, 2, 2, 2]);
    }

    #[test]
    fn a_load_without_any_answer_is_drawn_too() {
        let nothing = Report::of(
            crate::tally::Counts::default(),
            std::time::Duration::from_secs(1),
            std::time::Duration::from_secs(1),
            0,
        );
        let (texts, _) = read(&latency(&nothing).unwrap());
        says(&texts, &["Latency"]);
        let (texts, _) = read(&throughput(&nothing).unwrap());
        says(&texts, &["Throughput"]);
    }

    #[test]
    fn ticks_say_what_they_stand_for() {
        for (nines, expected) in [
            (0.0, "0 %"),
            (2_f64.log10(), "50 %"),
            (1.0, "90 %"),
            (2.0, "99 %"),
            (5.0, "99.999 %"),
        ] {
            assert_eq!(percent(nines), expected);
        }
        for (value, expected) in [(0.05, "0.05"), (0.1, "0.1"), (1.0, "1"), (2e3, "2000")] {
            assert_eq!(power(f64::log10(value)), expected);
        }
    }

    #[test]
    fn an_axis_of_powers_spans_its_values() {
        let around = |least: f64, most: f64| {
            let points = powers([(0.0, Some(least)), (1.0, Some(most))].into_iter());
            let (name, color) = ("", BLUE);
            let curve = Curve {
                name,
                color,
                points,
            };
            let axis = Axis::powers("", &[curve]);
            let labels: Vec<_> = axis.ticks.iter().map(|tick| power(*tick)).collect();
            (
                10_f64.powf(axis.range.start),
                10_f64.powf(axis.range.end),
                labels,
            )
        };
        let (from, to, labels) = around(3.0, 60.0);
        assert!((from - 2.0).abs() < 1e-9 && (to - 100.0).abs() < 1e-9);
        assert_eq!(labels, ["2", "5", "10", "20", "50", "100"]);
        let (from, to, labels) = around(0.0, 3_600_000.0);
        assert!((from - 1e-3).abs() < 1e-9 && to > 3_600_000.0);
        assert_eq!(labels[..4], ["0.001", "0.01", "0.1", "1"]);
    }
}
