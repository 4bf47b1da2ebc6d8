//! `cncfdemo dashboard`: what happens on the cluster, live, as a page or in the terminal.
use std::io::IsTerminal as _;

use anyhow::Context as _;
use dashboard::terminal::Looks;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{Dashboard, Start};
use crate::exit::{Hinted, Interrupted, Usage};
use crate::printer::Printer;
use crate::settings::Settings;

/// Serves the page, or shows the terminal view, until it is interrupted.
pub async fn run(args: &Dashboard, settings: &Settings, printer: &Printer) -> anyhow::Result<()> {
    if args.terminal {
        return in_terminal(args, settings).await;
    }
    let page = Page::open(settings, args.port, &args.namespace, args.prometheus.clone()).await?;
    printer.text(page.line());
    printer.data(&json!({"url": page.url}));
    tokio::select! {
        served = page.serve() => served,
        stopped = interrupted() => stopped,
    }
}

/// `start --dashboard`: the page is there from the first step on, and goes on until it is interrupted.
pub async fn around_start(
    port: u16,
    args: &Start,
    settings: &Settings,
    printer: &Printer,
) -> anyhow::Result<()> {
    let page = Page::open(settings, port, &args.namespace, None).await?;
    printer.note(page.line());
    let url = page.url.clone();
    let mut serving = std::pin::pin!(page.serve());
    tokio::select! {
        started = super::start::run(args, settings, printer) => started?,
        served = &mut serving => return served,
        stopped = interrupted() => return stopped.and(Err(Interrupted.into())),
    }
    printer.note(format!("{:<10} {url} goes on until Ctrl-C", "Dashboard"));
    tokio::select! {
        served = serving => served,
        stopped = interrupted() => stopped,
    }
}

async fn in_terminal(args: &Dashboard, settings: &Settings) -> anyhow::Result<()> {
    let out = std::io::stdout();
    if !out.is_terminal() {
        return Err(Usage("--terminal needs a terminal, and stdout is none".to_owned()).into());
    }
    let followed = config(settings, &args.namespace, args.prometheus.clone())?.build();
    let looks = Looks {
        colour: settings.colour,
        events: false,
        zone: jiff::tz::TimeZone::system(),
    };
    Ok(dashboard::terminal::run(followed.hub(), out, looks).await?)
}

/// A page that is being served.
struct Page {
    url: String,
    what: String,
    listener: TcpListener,
    followed: dashboard::Dashboard,
}

impl Page {
    /// Listens on loopback only: what is shown is for who sits at this machine.
    async fn open(
        settings: &Settings,
        port: u16,
        namespace: &str,
        prometheus: Option<String>,
    ) -> anyhow::Result<Page> {
        let config = config(settings, namespace, prometheus)?;
        let listener = TcpListener::bind(("127.0.0.1", port)).await.map_err(|e| Hinted {
            message: format!("failed to listen on 127.0.0.1:{port}: {e}"),
            hint: "another port: --port N, or --port 0 for a free one".to_owned(),
        })?;
        let url = format!("http://localhost:{}", listener.local_addr()?.port());
        let what = match &settings.context {
            Some(context) => format!("live dashboard of context {context}"),
            None => format!("live dashboard of local cluster \"{}\"", settings.name),
        };
        Ok(Page {
            url,
            what,
            listener,
            followed: config.build(),
        })
    }

    fn line(&self) -> String {
        format!("{:<10} {:<34} {}", "Open", self.url, self.what)
    }

    async fn serve(self) -> anyhow::Result<()> {
        dashboard::serve(self.listener, self.followed.hub().clone())
            .await
            .context("the page cannot be served any more")
    }
}

fn config(
    settings: &Settings,
    namespace: &str,
    prometheus: Option<String>,
) -> anyhow::Result<dashboard::Config> {
    let (name, kubeconfig) = match &settings.context {
        Some(context) => (context.clone(), settings.kubeconfig.clone()),
        None => (settings.name.clone(), settings.paths()?.kubeconfig()),
    };
    Ok(dashboard::Config {
        name,
        kubeconfig,
        context: settings.context.clone(),
        namespace: namespace.to_owned(),
        journal: crate::activity::file(settings)?,
        prometheus,
    })
}

/// Ctrl-C or SIGTERM: both end it as it is meant to end.
async fn interrupted() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
    }
}
