//! The speed of each way by the size of the messages, both on scales of logarithms.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

use super::SIZES;
use super::crossover::{lines, size_in_words};
use crate::figure::Figure;

const INK: RGBColor = RGBColor(0x1f, 0x23, 0x28);
const FAINT: RGBColor = RGBColor(0xd8, 0xde, 0xe4);

/// One for each way, in the order of the rows; that those who see colours otherwise can tell apart as well.
const COLORS: [RGBColor; 7] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0x6e, 0x77, 0x81),
];

pub const TITLE: &str = "Messages from one process to another: MB/s by size (log scales, more is better)";

/// Draws it; `false`, and nothing drawn, if not all sizes were measured.
pub fn draw(figures: &[&Figure], path: &Path) -> Result<bool, Box<dyn Error>> {
    let lines = lines(figures.iter().copied());
    let speeds = || lines.iter().flat_map(|line| &line.speeds).map(|(_, speed)| *speed);
    if lines.iter().all(|line| line.speeds.len() < SIZES.len()) || speeds().any(|speed| speed <= 0.0) {
        return Ok(false);
    }
    let least = 10_f64.powf(speeds().fold(f64::INFINITY, f64::min).log10().floor());
    let most = speeds().fold(0.0, f64::max) * 1.5;
    let sizes = SIZES[0].bytes as f64 / 1.3..SIZES[SIZES.len() - 1].bytes as f64 * 1.3;

    let area = SVGBackend::new(path, (760, 460)).into_drawing_area();
    area.fill(&WHITE)?;
    let font = |size: i32| ("sans-serif", size).into_font().color(&INK);
    let area = area.titled(TITLE, font(17))?;
    let mut chart = ChartBuilder::on(&area)
        .margin(12)
        .margin_right(24)
        .x_label_area_size(36)
        .y_label_area_size(64)
        .build_cartesian_2d(
            sizes.log_scale().with_key_points(SIZES.iter().map(|size| size.bytes as f64).collect()),
            (least..most).log_scale(),
        )?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(FAINT)
        .axis_style(INK)
        .x_labels(SIZES.len())
        .y_labels(6)
        .x_label_formatter(&|bytes| size_in_words(bytes.round()))
        .y_label_formatter(&|speed| format!("{speed:.0}"))
        .label_style(font(13))
        .draw()?;
    for (line, color) in lines.iter().zip(COLORS.iter().cycle()) {
        let points = || line.speeds.iter().map(|(size, speed)| (size.bytes as f64, *speed));
        chart
            .draw_series(LineSeries::new(points(), color.stroke_width(2)))?
            .label(&line.way)
            .legend(move |(x, y)| Rectangle::new([(x, y - 2), (x + 14, y + 2)], color.filled()));
        chart.draw_series(points().map(|point| Circle::new(point, 3, color.filled())))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE)
        .border_style(FAINT)
        .label_font(font(13))
        .draw()?;
    area.present()?;
    Ok(true)
}
