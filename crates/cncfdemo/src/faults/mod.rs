//! Faults as a person asks for them: `pod`, `node:by=cut,for=20s`; what a local cluster can do beyond the API; and the image of the
//! pods that carry faults out.
mod means;
mod spec;

use std::sync::Arc;

use anyhow::Context as _;
use chaos::{Chaos, Kind};
use kube::Client;

use crate::printer::Printer;
use crate::settings::Settings;
use crate::{apps, images};

pub use means::Local;
pub use spec::Spec;

/// The image in `apps/chaos`.
const IMAGE: &str = "chaos";

/// The tool for the cluster that the settings mean, ready for these kinds of faults. On a local cluster the image of the pods that
/// carry faults out is built if it is not there; elsewhere it has to be named.
pub async fn tool(
    settings: &Settings,
    printer: &Printer,
    client: Client,
    image: Option<&str>,
    kinds: impl IntoIterator<Item = &Kind>,
) -> anyhow::Result<Chaos> {
    let mut tool = Chaos::new(client);
    let local = settings.context.is_none();
    if local {
        tool = tool.with_means(Arc::new(Local(settings.paths()?)));
    }
    let needed = kinds.into_iter().any(|kind| tool.needs_image(kind));
    if let Some(image) = image {
        tool = tool.with_image(image.to_owned());
    } else if needed && local {
        tool = tool.with_image(build(settings, printer).await?);
    }
    Ok(tool)
}

async fn build(settings: &Settings, printer: &Printer) -> anyhow::Result<String> {
    let recipes = images::recipes(&apps::bundle(None)?)?;
    let builder = images::builder(settings, recipes, false, |_| {})?;
    let begun = std::time::Instant::now();
    let built = builder.build(IMAGE).await.with_context(|| {
        format!("failed to build image `{IMAGE}`, of which pods that carry faults out are made")
    })?;
    if !built.cached {
        let step = printer.step("image", "of the pods that carry faults out");
        step.done(begun.elapsed(), "built now");
    }
    Ok(built.reference.to_string())
}
