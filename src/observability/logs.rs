//! Logs with `tracing`, as text or JSON. Both escape values, so that names chosen by clusters or users can neither
//! forge a log line nor control the reader's terminal.

use std::fmt::{self, Debug};
use std::io::{self, IsTerminal, Write};

use tracing::Subscriber;
use tracing::field::Field;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::util::SubscriberInitExt;

use crate::domain::escape::{escape, escape_json};

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// Starts logging to standard error. `filter` is a level or `tracing` directives (`info,ksit=debug`).
pub fn init_logs(format: LogFormat, filter: &str) -> Result<(), String> {
    // kube logs every failed request and unparsable answer; the callers log them with more context.
    let filter = if filter.contains("kube") { filter.to_owned() } else { format!("{filter},kube_client=off") };
    let filter = EnvFilter::builder().parse(&filter).map_err(|error| {
        format!("--log-level: {filter:?} is not a level or filter such as info or info,ksit=debug: {error}")
    })?;
    let colours = io::stderr().is_terminal();
    subscriber(format, filter, colours, io::stderr).try_init().map_err(|error| error.to_string())
}

fn subscriber<W>(format: LogFormat, filter: EnvFilter, colours: bool, writer: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_target(false);
    match format {
        LogFormat::Json => Box::new(builder.json().flatten_event(true).with_writer(EscapedJson(writer)).finish()),
        LogFormat::Text => {
            let fields = debug_fn(text_field).delimited(" ");
            Box::new(builder.with_ansi(colours).fmt_fields(fields).with_writer(writer).finish())
        }
    }
}

/// Formats a field like tracing's default, but escaped; the default escapes terminal sequences only.
fn text_field(writer: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> fmt::Result {
    let value = format!("{value:?}");
    match field.name() {
        "message" => write!(writer, "{}", escape(&value)),
        // Source location of a record of the `log` crate.
        name if name.starts_with("log.") => Ok(()),
        name => write!(writer, "{}={}", name.trim_start_matches("r#"), escape(&value)),
    }
}

/// Escapes what JSON does not: control characters beyond ASCII, and invisible ones.
struct EscapedJson<W>(W);

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for EscapedJson<W> {
    type Writer = EscapedJson<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        EscapedJson(self.0.make_writer())
    }
}

impl<W: Write> Write for EscapedJson<W> {
    /// Expects one whole event per call, as `tracing_subscriber` writes them.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.0.write_all(escape_json(&String::from_utf8_lossy(event)).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::domain::escape::is_invisible;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, name: &str) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(format, EnvFilter::new("info"), false, move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            let error = format!("spec of {name} makes no sense");
            tracing::warn!(cluster = %name, name, debug = ?name, %error, "{name} can't be read");
        });
        String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn log_lines_escape_names_chosen_by_users() {
        let name = "\u{1b}[2Jx\n2026-01-01T00:00:00Z ERROR root\u{202e}gnp\u{9b}31m\u{2028}y\u{200b}";
        for format in [LogFormat::Text, LogFormat::Json] {
            let text = logged(format, name);
            let line = text.strip_suffix('\n').unwrap();
            assert!(!line.contains(is_invisible), "{format:?}: {line:?}");
        }
        let json: serde_json::Value = serde_json::from_str(&logged(LogFormat::Json, name)).unwrap();
        assert_eq!(json["cluster"], name);
    }

    #[test]
    fn log_lines_have_message_and_fields() {
        let text = logged(LogFormat::Text, "c1");
        assert!(text.contains(r#"WARN c1 can't be read cluster=c1 name="c1" debug="c1" error=spec of c1"#), "{text}");
    }
}
