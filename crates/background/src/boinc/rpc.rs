use std::time::Duration;

use md5::{Digest as _, Md5};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::Error;

/// Every message ends with it.
const END: u8 = 3;
/// A client that is busy starting tasks answers late, not never.
const PATIENCE: Duration = Duration::from_secs(5);
/// More than a client with hundreds of tasks says; what is longer is not a BOINC client.
const LONGEST: usize = 16 << 20;

/// A connection to a BOINC client, past its authentication.
pub(super) struct Rpc {
    address: String,
    stream: TcpStream,
}

impl Rpc {
    /// Connects and proves that it knows the password: the MD5 of a nonce and the password, as the protocol wants it.
    pub(super) async fn connect(address: &str, password: &str) -> Result<Self, Error> {
        let failed = |reason: String| Error::Boinc {
            address: address.to_owned(),
            reason,
        };
        let stream = tokio::time::timeout(PATIENCE, TcpStream::connect(address))
            .await
            .map_err(|e| failed(e.to_string()))?
            .map_err(|e| failed(e.to_string()))?;
        let mut rpc = Self {
            address: address.to_owned(),
            stream,
        };
        let challenge = rpc.ask("<auth1/>").await?;
        let nonce = between(&challenge, "<nonce>", "</nonce>").unwrap_or_default();
        let hash = hex::encode(Md5::digest(format!("{nonce}{password}")));
        let answer = rpc
            .ask(&format!("<auth2>\n<nonce_hash>{hash}</nonce_hash>\n</auth2>"))
            .await?;
        if answer.contains("<authorized/>") {
            Ok(rpc)
        } else {
            Err(failed("the password is wrong".to_owned()))
        }
    }

    /// A request's answer, as it is.
    pub(super) async fn ask(&mut self, request: &str) -> Result<String, Error> {
        let exchange = async {
            let text = format!("<boinc_gui_rpc_request>\n{request}\n</boinc_gui_rpc_request>\n\u{3}");
            self.stream.write_all(text.as_bytes()).await?;
            let mut answer = Vec::new();
            while answer.last() != Some(&END) {
                if self.stream.read_buf(&mut answer).await? == 0 {
                    return Err(std::io::Error::other("it closed the connection"));
                }
                if answer.len() > LONGEST {
                    return Err(std::io::Error::other("its answer has no end"));
                }
            }
            answer.pop();
            Ok(String::from_utf8_lossy(&answer).into_owned())
        };
        let done = tokio::time::timeout(PATIENCE, exchange).await;
        done.unwrap_or_else(|_| Err(std::io::Error::other("it does not answer")))
            .map_err(|e| Error::Boinc {
                address: self.address.clone(),
                reason: e.to_string(),
            })
    }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(inside, _)| inside)
}
