//! The line between a node's agent and the API server. The agent's client needs no network, so a node that is cut off has to be
//! kept from the API by other means: as long as the line is down nothing passes, and what was under way when it broke has failed.
use std::io;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::{Request, Response};
use http_body_util::{BodyExt as _, BodyStream, StreamBody};
use kube::Client;
use kube::client::Body;
use tokio::sync::watch;

/// Up or down.
#[derive(Debug)]
pub(super) struct Line(watch::Sender<bool>);

impl Line {
    /// A line that is up.
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(true))
    }

    /// Takes it down or up.
    pub(super) fn set(&self, up: bool) {
        self.0.send_replace(up);
    }

    /// A client whose requests and answers pass the line. Requests that are made while it is down wait until it is up, as TCP would
    /// have them.
    pub(super) fn client(&self, inner: Client) -> Client {
        let line = self.0.subscribe();
        let service = tower::service_fn(move |request: Request<Body>| {
            let (mut line, inner) = (line.clone(), inner.clone());
            async move {
                is(&mut line, true).await;
                let broken = async {
                    is(&mut line, false).await;
                    is(&mut line, true).await;
                };
                let (parts, body) = tokio::select! {
                    answer = inner.send(request) => answer?.into_parts(),
                    () = broken => return Err(reset().into()),
                };
                Ok::<_, tower::BoxError>(Response::from_parts(parts, through(body, line)))
            }
        });
        Client::new(service, "default")
    }
}

/// The frames of an answer as long as the line holds; after that an error, once the line is back.
fn through(
    body: Body,
    line: watch::Receiver<bool>,
) -> impl http_body::Body<Data = Bytes, Error = tower::BoxError> + Send {
    let frames = BodyStream::new(body.map_err(tower::BoxError::from));
    let passing = stream::unfold(Some((frames, line)), |state| async move {
        let (mut frames, mut line) = state?;
        tokio::select! {
            frame = frames.next() => Some((frame?, Some((frames, line)))),
            () = is(&mut line, false) => {
                // Nobody keeps what an absent reader would have to be sent.
                drop(frames);
                is(&mut line, true).await;
                Some((Err(reset().into()), None))
            }
        }
    });
    StreamBody::new(Box::pin(passing))
}

/// Waits for a state; never comes back when the engine lets go of the line first.
async fn is(line: &mut watch::Receiver<bool>, up: bool) {
    if line.wait_for(|now| *now == up).await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn reset() -> io::Error {
    io::Error::new(
        io::ErrorKind::ConnectionReset,
        "the node was cut off from the API server",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use tokio::time::timeout;

    /// Answers at once with a body that has one frame and then waits for ever, as a watch does.
    fn watcher() -> Client {
        let service = tower::service_fn(async |_: Request<Body>| {
            let frame = Ok::<_, io::Error>(http_body::Frame::data(Bytes::from_static(b"event\n")));
            let frames = stream::once(async { frame }).chain(stream::pending());
            Ok::<_, io::Error>(Response::new(StreamBody::new(Box::pin(frames))))
        });
        Client::new(service, "default")
    }

    async fn ask(client: &Client) -> Result<Response<Body>, tower::BoxError> {
        let request = Request::get("/").body(Body::empty())?;
        Ok(client.send(request).await?)
    }

    #[tokio::test]
    async fn a_line_that_is_down_holds_requests_and_breaks_answers() {
        let line = Line::new();
        let client = line.client(watcher());
        let mut open = ask(&client).await.unwrap().into_body();
        assert_eq!(
            open.frame().await.unwrap().unwrap().into_data().unwrap(),
            "event\n"
        );
        let moment = Duration::from_millis(20);
        line.set(false);
        assert!(timeout(moment, ask(&client)).await.is_err(), "a request waits");
        assert!(timeout(moment, open.frame()).await.is_err(), "an answer stalls");
        line.set(true);
        assert!(
            open.frame().await.unwrap().is_err(),
            "what was under way is broken"
        );
        assert!(ask(&client).await.is_ok(), "a new request passes");
    }
}
