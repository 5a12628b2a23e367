//! Charts, as SVG that is as legible on a light page as on a dark one: they bring their own background.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::figure::Figure;
use crate::table::number;

const INK: RGBColor = RGBColor(0x1f, 0x23, 0x28);
const FAINT: RGBColor = RGBColor(0xd8, 0xde, 0xe4);
const UNCONTENDED: RGBColor = RGBColor(0x54, 0x9b, 0xd6);
const CONTENDED: RGBColor = RGBColor(0xd9, 0x7a, 0x2b);

pub const TITLE: &str = "one mutex, alone and between 2 processes: ns per lock + unlock (log scale, less is better)";

/// The subjects of README's chart, from above.
const SUBJECTS: [&str; 4] = ["pshared::Mutex", "pthread_mutex_t", "pthread_mutex_t, robust", "flock"];

/// README's chart of nanoseconds per operation; `false`, and nothing drawn, if they weren't all measured.
pub fn draw(figures: &[&Figure], path: &Path) -> Result<bool, Box<dyn Error>> {
    let value = |scenario: &str, subject: &str| {
        figures
            .iter()
            .find(|figure| figure.scenario == scenario && figure.subject == subject)
            .map(|figure| figure.value)
    };
    let bars: Option<Vec<[f64; 2]>> = SUBJECTS
        .iter()
        .map(|subject| {
            let alone = value("mutex-uncontended", subject)?;
            let together = value("mutex-hammered: both", subject)?;
            Some([alone, 1e3 / together])
        })
        .collect();
    let Some(bars) = bars.filter(|bars| bars.iter().flatten().all(|nanos| nanos.is_finite() && *nanos > 1.0)) else {
        return Ok(false);
    };
    let most = bars.iter().flatten().fold(1.0_f64, |most, nanos| most.max(*nanos));
    draw_bars(&bars, most * 5.0, path)?;
    Ok(true)
}

fn draw_bars(bars: &[[f64; 2]], end: f64, path: &Path) -> Result<(), Box<dyn Error>> {
    let area = SVGBackend::new(path, (760, 330)).into_drawing_area();
    area.fill(&WHITE)?;
    let font = |size: i32| ("sans-serif", size).into_font().color(&INK);
    let area = area.titled(TITLE, font(19))?;
    let mut chart = ChartBuilder::on(&area)
        .margin(12)
        .margin_right(24)
        .x_label_area_size(36)
        .set_label_area_size(LabelAreaPosition::Left, 180)
        .build_cartesian_2d((1.0..end).log_scale(), 0.0..bars.len() as f64)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .light_line_style(WHITE)
        .bold_line_style(FAINT)
        .axis_style(INK)
        .x_labels(6)
        .x_label_formatter(&|nanos| format!("{nanos:.0}"))
        .x_label_style(font(13))
        .draw()?;
    let series = [("uncontended", UNCONTENDED), ("both at once", CONTENDED)];
    for (at, (name, color)) in series.into_iter().enumerate() {
        let bar = |(row, nanos): (usize, &[f64; 2])| {
            let top = (bars.len() - row) as f64 - 0.14 - 0.36 * at as f64;
            Rectangle::new([(1.0, top), (nanos[at], top - 0.34)], color.filled())
        };
        chart
            .draw_series(bars.iter().enumerate().map(bar))?
            .label(name)
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 14, y + 5)], color.filled()));
        let after = font(13).pos(Pos::new(HPos::Left, VPos::Center));
        chart.draw_series(bars.iter().enumerate().map(|(row, nanos)| {
            let middle = (bars.len() - row) as f64 - 0.31 - 0.36 * at as f64;
            Text::new(number(nanos[at]), (nanos[at] * 1.08, middle), after.clone())
        }))?;
    }
    for (row, subject) in SUBJECTS.iter().enumerate() {
        let (_, y) = chart.backend_coord(&(1.0, (bars.len() - row) as f64 - 0.5));
        area.draw_text(subject, &font(14).pos(Pos::new(HPos::Right, VPos::Center)), (182, y - 30))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE)
        .border_style(FAINT)
        .label_font(font(13))
        .draw()?;
    area.present()?;
    Ok(())
}
