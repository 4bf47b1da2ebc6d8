//! From an authenticated request to whoever answers it.
use std::sync::{Arc, atomic::Ordering};

use http::{HeaderValue, Method, Response, header};
use schema::KindInfo;
use serde_json::json;

use crate::{
    admission,
    aggregation::group_version,
    answer::{self, Body},
    api::{Api, Call},
    bare, convert, custom, discovery, health,
    json::text,
    negotiate::{self, Format, Forms, What, format},
    options,
    registry::{delete::DeleteOptions, list},
    resource_metrics, reviews,
    status::{ApiError, Result},
};

/// What clients are told that delete a Job without a word about its pods (`pkg/registry/batch/job/storage/storage.go`).
const CHILDREN_STAY: &str = "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove \
     them or set propagationPolicy=Orphan to suppress this warning";

const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";

/// What anybody may ask, so that health checks need no credentials (upstream's `--authorization-always-allow-paths`).
fn is_public(path: &str) -> bool {
    matches!(path, "/healthz" | "/livez" | "/readyz")
}

impl Api {
    /// Answer an authorised request.
    pub async fn answer(self: &Arc<Self>, call: Arc<Call>) -> Result<Response<Body>> {
        let route = &call.route;
        // Cleaned for the question who may, not for the answer.
        if route.path.starts_with("//") {
            return Ok(answer::page_not_found());
        }
        if route.is_unfinished() {
            return Ok(answer::unfinished(&route.path));
        }
        // Of a resource it is said who may ask for it; of another path, what it is below.
        let group_version = if route.is_resource() {
            Some((route.group.as_str(), route.version.as_str()))
        } else {
            group_version(&route.path)
        };
        if let Some((group, version)) = group_version
            && let Some(remote) = self.remotes.get(group, version)
        {
            return self.aggregate(&call, &remote).await;
        }
        if route.is_resource() {
            self.resource(&call).await
        } else {
            self.path(&call)
        }
    }

    /// Whether the user may do this at all.
    pub fn authorise(&self, call: &Call) -> Result<()> {
        let route = &call.route;
        if !route.is_resource() && is_public(&route.path) {
            return Ok(());
        }
        let wanted = route.attributes();
        if self.may(&call.user, &wanted) {
            return Ok(());
        }
        let why = self.decide(&call.user, &wanted).reason;
        Err(wanted.forbidden(&call.user, &why))
    }

    fn path(&self, call: &Call) -> Result<Response<Body>> {
        if let Some(answer) = self.discovery(call) {
            return answer;
        }
        let path = call.route.path.trim_end_matches('/');
        // What the router around go-restful serves has no other path than its own.
        let slashed = path.len() < call.route.path.len() && !path.is_empty();
        let form = match path {
            "/version" | "/.well-known/openid-configuration" => "application/json",
            "/openid/v1/jwks" => "application/jwk-set+json",
            _ => "",
        };
        if !form.is_empty() {
            if call.method != Method::GET {
                return Err(ApiError::method_not_allowed());
            }
            negotiate::routed(&call.headers, &[form])?;
        }
        match path {
            "" => Ok(answer::json(200, &json!({"paths": self.all_paths()}))),
            "/version" => Ok(answer::bytes(200, "application/json", self.version())),
            "/openid/v1/jwks" => Ok(kept(form, self.tokens.jwks().to_string())),
            "/.well-known/openid-configuration" => {
                Ok(kept(form, self.tokens.configuration(self.config.advertise)))
            }
            _ if slashed && path.starts_with("/openapi/v3") => {
                let mut response = answer::empty(404);
                response.headers_mut().remove(header::CONTENT_TYPE);
                Ok(response)
            }
            path if slashed && !path.starts_with("/version") => Ok(answer::page_not_found()),
            "/metrics" => Ok(answer::bytes(
                200,
                METRICS,
                self.metrics.render(&self.object_counts()),
            )),
            "/statusz" => self.statusz(call),
            "/flagz" => self.flagz(call),
            "/openapi/v2" => Ok(self.openapi_v2(call)),
            path if path == "/openapi/v3" || path.starts_with("/openapi/v3/") => Ok(self.openapi_v3(call)),
            path if health::is_page(path) => Ok(health::answer(call, path)),
            path => discovery::nothing_here(path),
        }
    }

    fn object_counts(&self) -> Vec<(String, usize)> {
        schema::kinds()
            .iter()
            .filter(|k| !reviews::is_review(k) && !convert::needed(k))
            .map(|k| {
                (
                    crate::status::qualified(k),
                    self.store.count(&crate::keys::prefix(k, "")),
                )
            })
            .collect()
    }

    async fn resource(self: &Arc<Self>, call: &Arc<Call>) -> Result<Response<Body>> {
        let route = &call.route;
        if (route.group.as_str(), route.version.as_str())
            == (resource_metrics::GROUP, resource_metrics::VERSION)
        {
            return self.resource_metrics(call).await;
        }
        let Some(kind) = self.kind(&route.group, &route.version, &route.resource) else {
            return discovery::nothing_here(&route.path);
        };
        if custom::is(kind)
            && let Some(answer) = custom::oddly_asked(call, kind)
        {
            return answer;
        }
        let proxied = route.subresource == "proxy";
        if !route.subresource.is_empty() {
            let known = kind.subresources.contains(&route.subresource.as_str());
            if !known || !route.rest.is_empty() && !proxied {
                return Err(ApiError::no_such_path());
            }
        }
        // No route of upstream's answers HEAD, other than what it passes on.
        let headless = call.method == Method::HEAD && !proxied && !custom::is(kind);
        if !route.subresource.is_empty() && !headless {
            if kind.namespaced && route.namespace.is_empty() {
                return Err(if route.path.contains("/namespaces//") {
                    ApiError::bad_request("Namespace parameter required.")
                } else {
                    ApiError::no_such_path()
                });
            }
            return self.subresource(call, kind).await;
        }
        let across = matches!(route.verb, "list" | "watch");
        // Routes with a namespace take an empty one; who names an object has to say which (apiserver `endpoints/handlers/namer.go`).
        let blank = kind.namespaced && route.path.contains("/namespaces//");
        if blank && !route.name.is_empty() && !across {
            return Err(ApiError::bad_request("Namespace parameter required."));
        }
        if kind.namespaced && route.namespace.is_empty() && !across && !blank && !reviews::is_review(kind) {
            let collection = route.name.is_empty() || route.verb == "deletecollection";
            return Err(if collection {
                ApiError::method_not_allowed()
            } else {
                ApiError::no_such_path()
            });
        }
        // What is only made has no route by a name, nor one for all namespaces.
        let made_only = kind.verbs == ["create"] && !custom::is(kind);
        if made_only && (!route.name.is_empty() || kind.namespaced && route.namespace.is_empty()) {
            return Err(ApiError::no_such_path());
        }
        let strangely_placed = !kind.namespaced && !route.namespace.is_empty() && kind.plural != "namespaces";
        let nowhere =
            route.watch_path && kind.namespaced && route.namespace.is_empty() && !route.name.is_empty();
        if strangely_placed || nowhere {
            return Err(ApiError::no_such_path());
        }
        if headless {
            return Err(ApiError::method_not_allowed());
        }
        if reviews::is_review(kind) {
            if route.verb != "create" {
                return Err(ApiError::method_not_allowed());
            }
            let format = unprinted(call)?;
            return Ok(answer::unprinted(format, 201, &self.review(call, kind)?));
        }
        if route.verb == "watch" && !kind.has_verb("watch") && kind.has_verb("list") {
            if let Some(warning) = validation::deprecation(kind.definition) {
                call.warn(warning);
            }
            return Err(ApiError::unsupported_verb("watch", kind));
        }
        if !kind.has_verb(route.verb) {
            return Err(ApiError::method_not_allowed());
        }
        if let Some(warning) = validation::deprecation(kind.definition) {
            call.warn(warning);
        }
        if let Some(warning) = custom::of(kind).and_then(|c| custom::deprecation(&c)) {
            call.warn(warning);
        }
        if !custom::is(kind) {
            let produced: &[&str] = if across {
                &negotiate::LISTS
            } else {
                &negotiate::OBJECTS
            };
            negotiate::routed(&call.headers, produced)?;
        }
        let forms = if custom::is(kind) {
            Forms::CUSTOM
        } else {
            Forms::OBJECT
        };
        let format = format(&call.headers, forms)?;
        options::check(call)?;
        if across || route.verb == "deletecollection" {
            check_numbers(call)?;
        }
        match route.verb {
            "get" => {
                list::check_single(call)?;
                self.fresh_enough(call).await?;
                let stored = self
                    .fetch(convert::stored(kind), &route.namespace, &route.name)
                    .map_err(|_| ApiError::not_found(kind, &route.name))?;
                let stored = self.turned(kind, stored).await?;
                let output = crate::registry::Output::Stored(stored).in_version(kind);
                answer::object(call, kind, format, 200, output)
            }
            "list" => {
                self.fresh_enough(call).await?;
                let mut page = self.page(call, kind)?;
                page.items = self.turned_all(kind, page.items).await?;
                answer::list(call, kind, format, &page)
            }
            // What is asked by `/watch/` in the path is one whatever the method.
            "watch" if call.method != Method::GET => Err(ApiError::method_not_allowed()),
            "watch" => self.counted_watch(call, kind, format).await,
            "create" if kind.plural == "bindings" && !custom::is(kind) => {
                Ok(answer::made(format, 201, &self.bind_named(call).await?))
            }
            // There are no routes of custom resources, by which others are told apart from those that name one.
            "create" if route.name.is_empty() || custom::is(kind) => {
                let output = self.create_from_body(call, kind).await?;
                answer::object(call, kind, format, 201, output)
            }
            "update" if !route.name.is_empty() => {
                let (output, created) = self.update_from_body(call, kind, "").await?;
                answer::object(call, kind, format, if created { 201 } else { 200 }, output)
            }
            "patch" if !route.name.is_empty() => {
                let (output, created) = self.patch(call, kind, "").await?;
                answer::object(call, kind, format, if created { 201 } else { 200 }, output)
            }
            "delete" => {
                let options = DeleteOptions::of(call)?;
                if kind.plural == "jobs" && options.propagation.is_none() && !custom::is(kind) {
                    call.warn(CHILDREN_STAY);
                }
                let named = (route.namespace.as_str(), route.name.as_str());
                admission::deletion(self, call, kind, named, &options).await?;
                let mut deletion = self.delete(kind, &route.namespace, &route.name, &options).await?;
                if !deletion.gone {
                    deletion.output = self.turned_output(kind, deletion.output).await?;
                }
                answer::object(call, kind, format, 200, deletion.into_answer(kind))
            }
            "deletecollection" if kind.verbs.contains(&"deletecollection") => {
                let options = DeleteOptions::of(call)?;
                self.fresh_enough(call).await?;
                let page = self.page(call, kind)?;
                for found in &page.items {
                    let found = found.value();
                    let own = |field: &str| text(&found, field);
                    let named = (own("/metadata/namespace"), own("/metadata/name"));
                    admission::deletion(self, call, kind, named, &options).await?;
                }
                let mut meta = json!({"resourceVersion": self.store.revision().to_string()});
                if let Some(next) = &page.next {
                    meta["continue"] = next.as_str().into();
                }
                if let Some(remaining) = page.remaining {
                    meta["remainingItemCount"] = remaining.into();
                }
                let mut items = self
                    .delete_collection(kind, &route.namespace, page.items, &options)
                    .await?;
                let body = match format.what {
                    What::PartialList => {
                        let items: Vec<_> =
                            items.iter().map(|o| answer::partial(o, format.version)).collect();
                        let items = Some(items).filter(|items| !items.is_empty());
                        json!({"kind": "PartialObjectMetadataList", "apiVersion": format.version, "metadata": meta, "items": items})
                    }
                    What::Table => answer::table(call, kind, format.version, items.iter(), meta, true),
                    What::Whole | What::Partial => {
                        if !custom::is(kind) {
                            items.iter_mut().for_each(bare::strip);
                        } else if page.next.is_none() {
                            // A list without a type says so, however it ends.
                            meta["continue"] = "".into();
                        }
                        json!({"kind": format!("{}List", kind.kind), "apiVersion": kind.api_version(), "metadata": meta,
                            "items": items})
                    }
                };
                Ok(answer::made(format, 200, &body))
            }
            _ => Err(ApiError::method_not_allowed()),
        }
    }

    async fn counted_watch(
        self: &Arc<Self>,
        call: &Arc<Call>,
        kind: &'static KindInfo,
        format: Format,
    ) -> Result<Response<Body>> {
        let guard = WatchGuard(self.clone());
        self.metrics.watches.fetch_add(1, Ordering::Relaxed);
        let response = self.watch(call.clone(), kind, format).await?;
        Ok(response.map(|body| {
            use http_body_util::BodyExt;
            body.map_frame(move |frame| {
                let _ = &guard;
                frame
            })
            .boxed_unsync()
        }))
    }

    async fn subresource(
        self: &Arc<Self>,
        call: &Arc<Call>,
        kind: &'static KindInfo,
    ) -> Result<Response<Body>> {
        let route = &call.route;
        let not_allowed = || Err(ApiError::method_not_allowed());
        admission::subresource(self, call, kind).await?;
        let carried = matches!(
            route.subresource.as_str(),
            "log" | "exec" | "attach" | "portforward" | "proxy"
        );
        let taken = kind.subresource(&route.subresource);
        if !carried && taken.is_none_or(|sub| !sub.verbs.contains(&route.verb)) {
            // apiextensions `pkg/apiserver/customresource_handler.go` serveStatus and serveScale.
            if custom::is(kind) && taken.is_some() {
                return Err(ApiError::unsupported_verb(route.verb, kind));
            }
            return not_allowed();
        }
        let format = match route.subresource.as_str() {
            _ if carried => Format::JSON,
            "binding" | "eviction" | "token" if route.verb == "create" => unprinted(call)?,
            "status" | "scale" if custom::is(kind) => format(&call.headers, Forms::CUSTOM)?,
            _ => {
                if !custom::is(kind) {
                    negotiate::routed(&call.headers, &negotiate::OBJECTS)?;
                }
                format(&call.headers, Forms::OBJECT)?
            }
        };
        if !carried {
            options::check(call)?;
        }
        match (route.subresource.as_str(), route.verb) {
            (subresource @ ("status" | "ephemeralcontainers" | "resize" | "approval"), verb) => {
                let output = match verb {
                    "get" => {
                        let stored = self.fetch(convert::stored(kind), &route.namespace, &route.name)?;
                        crate::registry::Output::Stored(self.turned(kind, stored).await?).in_version(kind)
                    }
                    "update" => self.update_from_body(call, kind, subresource).await?.0,
                    "patch" => self.patch(call, kind, subresource).await?.0,
                    _ => return not_allowed(),
                };
                answer::object(call, kind, format, 200, output)
            }
            ("scale", "get" | "update" | "patch") => {
                let scale = self.scale(call, kind).await?;
                answer::scale(call, kind, format, scale)
            }
            ("binding", "create") => Ok(answer::made(format, 201, &self.bind(call, kind).await?)),
            ("eviction", "create") => Ok(answer::made(format, 201, &self.evict(call, kind).await?)),
            ("token", "create") => Ok(answer::unprinted(format, 201, &self.request_token(call, kind)?)),
            ("finalize", "update") => {
                // The last finalizer's going removes the namespace.
                let (output, _) = self.update_from_body(call, kind, "finalize").await?;
                answer::object(call, kind, format, 200, output)
            }
            ("log", "get") => self.logs(call, kind).await,
            ("exec" | "attach", "get" | "create") => self.exec(call, kind).await,
            ("portforward", "get" | "create") => self.port_forward(call, kind),
            ("proxy", _) => self.proxy(call, kind).await,
            _ => not_allowed(),
        }
    }
}

/// A document that whoever checks tokens may keep for an hour (`pkg/serviceaccount/openidmetadata.go`).
fn kept(form: &'static str, document: String) -> Response<Body> {
    let mut response = answer::bytes(200, form, document);
    response.headers_mut().insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=3600"),
    );
    response
}

/// The form of what is only answered, and never printed; its options are checked, too.
fn unprinted(call: &Call) -> Result<Format> {
    negotiate::routed(&call.headers, &negotiate::OBJECTS)?;
    let format = format(&call.headers, Forms::UNPRINTED)?;
    options::check(call)?;
    Ok(format)
}

struct WatchGuard(Arc<Api>);

impl Drop for WatchGuard {
    fn drop(&mut self) {
        self.0.metrics.watches.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Parameters of lists and watches that are numbers.
fn check_numbers(call: &Call) -> Result<()> {
    for name in ["limit", "timeoutSeconds"] {
        let said = call.query.all(name);
        if let Some(text) = said.first().filter(|text| text.parse::<i64>().is_err()) {
            let digits = text.trim_start_matches(['-', '+']);
            let why = if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
                "value out of range"
            } else {
                "invalid syntax"
            };
            return Err(ApiError::bad_request(format!(
                "strconv.ParseInt: parsing {text:?}: {why}"
            )));
        }
    }
    Ok(())
}
