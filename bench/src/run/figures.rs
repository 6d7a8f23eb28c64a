//! From the windows of all rounds to the figures of the tables: medians, spread, ratios.

use super::window::Window;
use crate::contender::Contender;
use crate::results::Figures;

/// What one round showed of each contender; those that failed are absent.
pub(crate) type Round = Vec<(Contender, Window)>;

/// The figures of one contender over all rounds; `None` if no round has it.
pub(crate) fn figures(contender: Contender, rounds: &[Round]) -> Option<Figures> {
    let windows: Vec<_> = rounds.iter().filter_map(|round| window(round, contender)).collect();
    if windows.is_empty() {
        return None;
    }
    let of =
        |field: fn(&Window) -> Option<f64>| windows.iter().filter_map(|it| field(it)).collect::<Vec<_>>();
    let cpu = of(|it| it.cpu_us);
    Some(Figures {
        cpu_us: median(&cpu),
        cpu_us_min: cpu.iter().copied().reduce(f64::min),
        cpu_us_max: cpu.iter().copied().reduce(f64::max),
        rps: median(&of(|it| Some(it.rps))).unwrap_or_default(),
        p50_us: median(&of(|it| Some(it.p50_us))).unwrap_or_default(),
        p99_us: median(&of(|it| Some(it.p99_us))).unwrap_or_default(),
        rss_mib: median(&of(|it| it.rss_mib)),
        peak_mib: of(|it| it.peak_mib).into_iter().reduce(f64::max),
        ratio: median(&ratios(contender, rounds)),
        ..Figures::default()
    })
}

/// The contender's CPU over that of its yardstick, round by round: what disturbs a whole round cancels out.
fn ratios(contender: Contender, rounds: &[Round]) -> Vec<f64> {
    let of_round = |round: &Round| {
        let own = window(round, contender)?.cpu_us?;
        let router = window(round, contender.yardstick())?.cpu_us?;
        (router > 0.0).then_some(own / router)
    };
    rounds.iter().filter_map(of_round).collect()
}

fn window(round: &Round, contender: Contender) -> Option<&Window> {
    round.iter().find(|(name, _)| *name == contender).map(|(_, window)| window)
}

/// The middle value, or the mean of the two in the middle.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.len().is_multiple_of(2), sorted.get(middle)) {
        (_, None) => None,
        (false, Some(value)) => Some(*value),
        (true, Some(value)) => Some(f64::midpoint(sorted[middle - 1], *value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(cpu_us: f64) -> Window {
        Window { cpu_us: Some(cpu_us), rps: 1000.0 / cpu_us, peak_mib: Some(cpu_us), ..Window::default() }
    }

    #[test]
    fn medians_of_odd_even_and_none() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn the_ratio_is_of_the_same_round() {
        // The machine was twice as slow in the second round: the medians of both move, their ratio does not.
        let rounds = [(2.0, 20.0), (4.0, 40.0), (2.0, 22.0)].map(|(router, envoy)| {
            vec![(Contender::Envoy, window(envoy)), (Contender::Router, window(router))]
        });
        let envoy = figures(Contender::Envoy, &rounds).unwrap();
        assert_eq!((envoy.cpu_us, envoy.cpu_us_min, envoy.cpu_us_max), (Some(22.0), Some(20.0), Some(40.0)));
        assert_eq!(envoy.ratio, Some(10.0));
        assert_eq!(envoy.peak_mib, Some(40.0));
        assert_eq!(figures(Contender::Router, &rounds).unwrap().ratio, Some(1.0));
    }

    #[test]
    fn with_tls_the_yardstick_is_the_router_with_tls() {
        let rounds = [vec![(Contender::NginxTls, window(30.0)), (Contender::RouterTls, window(10.0))]];
        assert_eq!(figures(Contender::NginxTls, &rounds).unwrap().ratio, Some(3.0));
    }

    #[test]
    fn rounds_without_a_contender_do_not_count() {
        let rounds =
            [vec![(Contender::Router, window(2.0))], vec![(Contender::Nginx, window(70.0))], Round::new()];
        let nginx = figures(Contender::Nginx, &rounds).unwrap();
        assert_eq!((nginx.cpu_us, nginx.ratio), (Some(70.0), None));
        assert!(figures(Contender::Envoy, &rounds).is_none());
    }
}
