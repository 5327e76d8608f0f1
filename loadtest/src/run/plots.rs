//! Plots a report as SVG: the distribution of detection times; memory, CPU and coverage over time.

use std::path::Path;

use plotters::prelude::*;

use super::report::{Measure, Report};
use super::{RunError, sampler::Sample};

const SIZE: (u32, u32) = (900, 420);

/// One line of a plot.
struct Line {
    name: String,
    points: Vec<(f64, f64)>,
}

/// Draws the available plots into the folder and returns their file names.
pub(super) fn draw(report: &Report, folder: &Path) -> Result<Vec<String>, RunError> {
    let title = |what: &str| format!("{}, {} targets: {what}", report.scenario, report.targets);
    let over_time = |of: fn(&Sample) -> Option<f64>| {
        report.samples.iter().filter_map(|sample| Some((sample.at, of(sample)?))).collect::<Vec<_>>()
    };
    let single = |name: &str, points| vec![Line { name: name.to_owned(), points }];
    let detections = report
        .measures
        .iter()
        .filter(|measure| measure.name.ends_with("until the status shows it") && measure.samples.len() > 1)
        .map(|measure| Line { name: measure.name.clone(), points: distribution(measure) })
        .collect();
    let plots = [
        ("detection", "seconds until the status shows it", "% of changes", detections),
        ("memory", "seconds", "MiB", single("all replicas", over_time(|sample| Some(sample.memory)))),
        ("cpu", "seconds", "cores", single("all replicas", over_time(|sample| Some(sample.cores)))),
        ("coverage", "seconds", "targets observed", single("targets", over_time(|sample| sample.covered))),
    ];
    let mut files = Vec::new();
    for (name, x, y, lines) in plots {
        if lines.iter().any(|line| line.points.len() > 1) {
            let file = format!("{}-{name}.svg", report.scenario);
            plot(&folder.join(&file), &title(name), x, y, &lines)?;
            files.push(file);
        }
    }
    Ok(files)
}

/// The cumulative distribution of the samples, in percent.
fn distribution(measure: &Measure) -> Vec<(f64, f64)> {
    let count = measure.samples.len() as f64;
    measure.samples.iter().zip(1_u32..).map(|(sample, place)| (*sample, f64::from(place) / count * 100.0)).collect()
}

fn plot(file: &Path, title: &str, x: &str, y: &str, lines: &[Line]) -> Result<(), RunError> {
    let largest = |of: fn(&(f64, f64)) -> f64| {
        let all = lines.iter().flat_map(|line| &line.points).map(of);
        all.fold(0.0, f64::max).max(f64::MIN_POSITIVE)
    };
    let (width, height) = (largest(|point| point.0), largest(|point| point.1) * 1.05);
    let root = SVGBackend::new(file, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..width, 0.0..height)?;
    chart.configure_mesh().x_desc(x).y_desc(y).light_line_style(WHITE).draw()?;
    for (place, line) in lines.iter().enumerate() {
        let color = Palette99::pick(place).to_rgba();
        chart
            .draw_series(LineSeries::new(line.points.iter().copied(), color.stroke_width(2)))?
            .label(&line.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
    }
    if lines.len() > 1 {
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE)
            .border_style(BLACK)
            .draw()?;
    }
    root.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plot_is_svg_with_title_and_lines() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.svg");
        let line = |name: &str| Line { name: name.to_owned(), points: vec![(0.0, 1.0), (2.0, 3.0)] };
        plot(&file, "a title", "s", "MiB", &[line("one"), line("two")]).unwrap();
        let text = std::fs::read_to_string(file).unwrap();
        assert!(text.starts_with("<svg") && text.contains("a title") && text.contains("two"));
    }
}
