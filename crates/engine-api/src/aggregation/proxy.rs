//! Requests passed on to the server behind an APIService (kube-aggregator `pkg/apiserver/handler_proxy.go`).
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Remote, dial};
use crate::{
    answer::{self, Body},
    api::{Api, Call},
    proxy::onward,
    status::{ApiError, Result},
    user::User,
};

impl Api {
    /// The answer of the server behind an APIService.
    pub async fn aggregate(&self, call: &Call, remote: &Remote) -> Result<Response<Body>> {
        if call.headers.contains_key(header::UPGRADE) {
            return Err(ApiError::unsupported(
                "upgraded connections to aggregated APIs are not supported",
            ));
        }
        if !remote.available {
            return Ok(unavailable("service unavailable"));
        }
        let mut request = onward_request(call)?;
        *request.headers_mut() = onward(&call.headers);
        set_user(request.headers_mut(), &call.user);
        match self.ask_remote(remote, request).await {
            Ok(response) => Ok(passed_back(response)),
            Err(error) => {
                let (namespace, name, _) = dial::service(&remote.spec);
                tracing::warn!(namespace, name, error, "aggregated API not reached");
                Ok(unavailable(format!("error trying to reach service: {error}")))
            }
        }
    }
}

fn unavailable(message: impl Into<String>) -> Response<Body> {
    answer::text(503, message.into() + "\n")
}

fn onward_request(call: &Call) -> Result<Request<Body>> {
    let query = call.query.raw();
    let uri: Uri = if query.is_empty() {
        call.path.clone()
    } else {
        format!("{}?{query}", call.path)
    }
    .parse()
    .map_err(|_| ApiError::bad_request("invalid path"))?;
    let mut request = Request::new(answer::full(call.body.clone()));
    *request.method_mut() = call.method.clone();
    *request.uri_mut() = uri;
    Ok(request)
}

fn passed_back(response: Response<Body>) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    parts.headers = onward(&parts.headers);
    parts.extensions.clear();
    parts.version = http::Version::default();
    Response::from_parts(parts, body)
}

/// What may not stand in a header's name, `%` itself included (client-go `headerKeyEscape`).
const NOT_OF_A_HEADER: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'*')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// Says who asks, and nothing of what the client said of that itself (client-go `transport.SetAuthProxyHeaders`).
pub fn set_user(headers: &mut HeaderMap, user: &User) {
    let said: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().starts_with("x-remote-"))
        .cloned()
        .collect();
    for name in said {
        headers.remove(name);
    }
    let mut add = |name: &str, value: &str| {
        if let (Ok(name), Ok(value)) = (
            HeaderName::try_from(name),
            HeaderValue::from_bytes(value.as_bytes()),
        ) {
            headers.append(name, value);
        }
    };
    add("x-remote-user", &user.name);
    if !user.uid.is_empty() {
        add("x-remote-uid", &user.uid);
    }
    for group in &user.groups {
        add("x-remote-group", group);
    }
    for (key, values) in &user.extra {
        let name = format!("x-remote-extra-{}", utf8_percent_encode(key, NOT_OF_A_HEADER));
        for value in values {
            add(&name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_is_told_and_what_the_client_claims_is_not() {
        let mut headers = HeaderMap::new();
        headers.insert("x-remote-user", HeaderValue::from_static("root"));
        headers.insert("x-remote-extra-a", HeaderValue::from_static("b"));
        let mut user = User::new("jane", ["dev"]);
        user.extra
            .insert("example.org/Id".to_owned(), vec!["1".to_owned(), "2".to_owned()]);
        set_user(&mut headers, &user);
        let all = |name: &str| headers.get_all(name).iter().collect::<Vec<_>>();
        assert_eq!(all("x-remote-user"), ["jane"]);
        assert_eq!(all("x-remote-group"), ["dev", "system:authenticated"]);
        assert_eq!(all("x-remote-extra-example.org%2fid"), ["1", "2"]);
        assert!(all("x-remote-extra-a").is_empty());
    }
}
