use clap::Args;

/// Where the page is served, unless somebody says otherwise.
pub const PORT: u16 = 7002;

/// `dashboard`
#[derive(Debug, Args)]
pub struct Dashboard {
    /// Port of the page on 127.0.0.1; 0 for a free one
    #[arg(long, default_value_t = PORT)]
    pub port: u16,
    /// Show it in this terminal instead of serving a page
    #[arg(long, conflicts_with = "port")]
    pub terminal: bool,
    /// Namespace of the demo
    #[arg(long, default_value = "cncfdemo")]
    pub namespace: String,
    /// Ask the Prometheus at this address, instead of the demo's own through the cluster's API
    #[arg(long, value_name = "URL", value_parser = parse_url)]
    pub prometheus: Option<String>,
}

fn parse_url(text: &str) -> Result<String, String> {
    let is_http = text.starts_with("http://") || text.starts_with("https://");
    is_http
        .then(|| text.to_owned())
        .ok_or_else(|| format!("`{text}` does not begin with http:// or https://"))
}
