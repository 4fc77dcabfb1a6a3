//! A report in the terminal: what matters first, aligned, at most 100 columns.

use std::fmt;

use super::number::{figure, maybe, memory, percent, plural, round};
use super::{Direction, Footprint, Goal, LATE_MS, Quantiles, Report, Second};

/// Width of the column that names what stands beside it.
const NAME: usize = 32;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.heading(f)?;
        self.goal_lines(f)?;
        self.delays(f)?;
        self.frames(f)?;
        self.barge_in_lines(f)?;
        columns(f, "set-up, ms")?;
        quantiles(f, "webhook → TwiML", &self.setup.webhook)?;
        quantiles(f, "upgrade asked → open", &self.setup.upgrade)?;
        quantiles(f, "webhook → session open", &self.setup.session)?;
        quantiles(f, "start → first sound of ARIA", &self.setup.first_sound)?;
        match &self.bridge {
            Some(bridge) => footprint(f, bridge)?,
            None => {
                writeln!(f, "\nbridge: its process is not known, so neither CPU nor memory was measured")?
            }
        }
        let generator = &self.generator;
        columns(f, "the suite's own lateness, ms")?;
        quantiles(f, "phones", &generator.phone_lateness)?;
        quantiles(f, "model", &generator.model_lateness)?;
        let (cpu, idle) = (figure(generator.cpu_percent), figure(generator.machine_idle_percent));
        write!(
            f,
            "  {:<NAME$}{cpu} % of a core; machine {idle} % idle{}",
            "CPU of the suite",
            generator.sleep()
        )
    }
}

impl Report {
    fn heading(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (setting, machine, calls) = (&self.setting, &self.machine, &self.calls);
        let asked = plural(setting.calls as u64, "call");
        writeln!(f, "{asked} for {} s, {}, network {}", setting.seconds, setting.codec, setting.network)?;
        let cores = plural(machine.cores as u64, "core");
        writeln!(f, "{}, {cores}, kernel {}", machine.cpu, machine.kernel)?;
        writeln!(
            f,
            "\n{} held of {} begun, {} failed, {} of Twilio's protocol",
            plural(calls.held as u64, "call"),
            calls.begun,
            calls.failed,
            if calls.violations == 1 { "1 breach".into() } else { format!("{} breaches", calls.violations) },
        )?;
        for doubt in self.doubts() {
            writeln!(f, "WARNING: {doubt}: a bad figure below may not be the bridge's")?;
        }
        Ok(())
    }

    fn goal_lines(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{:<NAME$}{:>14}{:>14}", "goals", "measured", "at most")?;
        for goal in self.goals() {
            let verdict = match goal.met() {
                Some(true) => "met",
                Some(false) => "MISSED",
                None => "not measured",
            };
            let Goal { name, ours, limit, unit, .. } = goal;
            let ours = maybe(ours);
            writeln!(f, "  {name:<33}{ours:>8} {unit:<2}{:>11} {unit:<2}   {verdict}", round(limit))?;
        }
        Ok(())
    }

    fn delays(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        columns(f, "delay, ms")?;
        quantiles(f, "added, caller → model", &self.up.added)?;
        quantiles(f, "added, model → caller", &self.down.added)?;
        for (name, direction) in [("total, caller → model", &self.up), ("total, model → caller", &self.down)]
        {
            quantiles(f, name, &direction.total)?;
            write!(f, "    of it look-ahead {}", figure(direction.look_ahead_ms))?;
            match direction.jitter_wait_ms {
                Some(wait) => writeln!(f, ", jitter wait {}", figure(wait))?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }

    fn frames(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = ["sent", "heard", "late", "lost", "twice", "concealed", "splices"];
        write!(f, "\n{:<24}", "frames of 20 ms")?;
        names.iter().try_for_each(|name| write!(f, "{name:>10}"))?;
        for (name, d) in [("caller → model", &self.up), ("model → caller", &self.down)] {
            let Direction { sent, heard, late, lost, duplicated, concealed, splices, .. } = d;
            write!(f, "\n  {name:<22}")?;
            [sent, heard, late, lost, duplicated, concealed, splices]
                .iter()
                .try_for_each(|n| write!(f, "{n:>10}"))?;
            write!(f, "\n  {:<22}{:>10}", "  % of those sent", "")?;
            [heard, late, lost, duplicated, concealed, splices]
                .iter()
                .try_for_each(|n| write!(f, "{:>10}", maybe(percent(**n, *sent))))?;
        }
        writeln!(f, "\n  late: more than {LATE_MS} ms added")
    }

    fn barge_in_lines(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let barge = &self.barge_in;
        columns(f, "barge-in, ms")?;
        quantiles(f, "announced → clear", &barge.clear)?;
        quantiles(f, "sound the caller was spared", &barge.backlog)?;
        let (told, cleared) = (plural(barge.announced, "interruption"), barge.cleared);
        writeln!(f, "  {told}, {cleared} cleared, {} after it", plural(barge.stale_frames, "stale frame"))
    }
}

fn footprint(f: &mut fmt::Formatter<'_>, bridge: &Footprint) -> fmt::Result {
    let line = |f: &mut fmt::Formatter<'_>, name: &str, text: String| writeln!(f, "  {name:<NAME$}{text}");
    writeln!(f, "\nbridge")?;
    let (call, all, kernel) = (bridge.cpu_percent_per_call, bridge.cpu_percent, bridge.kernel_percent);
    let all = format!("{} % of a core in all, {} % in the kernel", figure(all), figure(kernel));
    line(f, "CPU per call", format!("{} % of a core ({all})", figure(call)))?;
    for (name, percent) in &bridge.threads {
        line(f, &format!("  {name}"), format!("{} %", figure(*percent)))?;
    }
    line(f, "context switches", format!("{} a second", figure(bridge.switches_per_second)))?;
    let (call, all) = (memory(bridge.memory_per_call_kb), memory(bridge.memory_kb as f64));
    line(f, "memory per call", format!("{call} ({all} resident in all)"))
}

fn columns(f: &mut fmt::Formatter<'_>, title: &str) -> fmt::Result {
    write!(f, "\n{title:<width$}", width = NAME + 2)?;
    ["p50", "p95", "p99", "p99.9", "max"].iter().try_for_each(|name| write!(f, "{name:>9}"))?;
    writeln!(f, "{:>11}", "count")
}

fn quantiles(f: &mut fmt::Formatter<'_>, name: &str, q: &Quantiles) -> fmt::Result {
    write!(f, "  {name:<NAME$}")?;
    let seen = q.seen();
    [
        seen.map(|q| q.p50),
        seen.map(|q| q.p95),
        seen.map(|q| q.p99),
        seen.map(|q| q.p999),
        seen.map(|q| q.max),
    ]
    .iter()
    .try_for_each(|value| write!(f, "{:>9}", maybe(*value)))?;
    writeln!(f, "{:>11}", q.count)
}

impl fmt::Display for Second {
    /// One line of progress: the added delay of both directions, and how much the machine has left.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let three = |v: &[f64; 3]| v.map(figure).join(" / ");
        write!(f, "{:>4} s  p50/p99/max ms", self.at)?;
        write!(f, "  up {:<18} down {:<18}", three(&self.up), three(&self.down))?;
        if let Some(cpu) = self.bridge_cpu_percent {
            write!(f, " bridge {:>4} %", figure(cpu))?;
        }
        write!(f, " idle {:>4} %", figure(self.idle_percent))
    }
}
