//! `Impersonate-User` and its companions (`kubectl --as`).
use http::HeaderMap;

use crate::{
    api::Api,
    auth::rbac::Attributes,
    status::{ApiError, Result},
    user::User,
};

/// Strings as Go's `%#v` prints them.
fn go_list(list: &[&str]) -> String {
    if list.is_empty() {
        return "[]string(nil)".to_owned();
    }
    let quoted: Vec<String> = list.iter().map(|text| format!("{text:?}")).collect();
    format!("[]string{{{}}}", quoted.join(", "))
}

impl Api {
    /// The user that a request acts as: itself, or whom it may impersonate.
    pub fn impersonated(&self, user: User, headers: &HeaderMap) -> Result<User> {
        let values = |name: &str| -> Vec<&str> {
            headers
                .get_all(name)
                .iter()
                .filter_map(|v| v.to_str().ok())
                .filter(|v| !v.is_empty())
                .collect()
        };
        let (names, groups) = (values("impersonate-user"), values("impersonate-group"));
        let Some(name) = names.first() else {
            let uids = values("impersonate-uid");
            let mut extra: Vec<(&str, Vec<&str>)> = headers
                .keys()
                .filter_map(|key| {
                    Some((
                        key.as_str().strip_prefix("impersonate-extra-")?,
                        values(key.as_str()),
                    ))
                })
                .collect();
            if groups.is_empty() && uids.is_empty() && extra.is_empty() {
                return Ok(user);
            }
            extra.sort_unstable();
            return Err(ApiError::bad_request(format!(
                "requested &user.DefaultInfo{{Name:\"\", UID:{:?}, Groups:{}, Extra:{}}} without impersonating a user name",
                uids.first().copied().unwrap_or_default(),
                go_list(&groups),
                if extra.is_empty() {
                    "map[string][]string(nil)".to_owned()
                } else {
                    let entries = extra
                        .iter()
                        .map(|(key, values)| format!("{key:?}:{}", go_list(values)));
                    format!(
                        "map[string][]string{{{}}}",
                        entries.collect::<Vec<_>>().join(", ")
                    )
                }
            )));
        };
        let account = name
            .strip_prefix("system:serviceaccount:")
            .and_then(|rest| rest.split_once(':'));
        let mut wanted = vec![match account {
            Some((namespace, account)) => Attributes {
                resource: "serviceaccounts".to_owned(),
                namespace: namespace.to_owned(),
                name: account.to_owned(),
                ..Attributes::default()
            },
            None => Attributes {
                resource: "users".to_owned(),
                name: (*name).to_owned(),
                ..Attributes::default()
            },
        }];
        wanted.extend(groups.iter().map(|g| Attributes {
            resource: "groups".to_owned(),
            name: (*g).to_owned(),
            ..Attributes::default()
        }));
        for mut wanted in wanted {
            "impersonate".clone_into(&mut wanted.verb);
            if !self.rbac.allowed(&self.store, &user, &wanted) {
                let message = format!(
                    "{} \"{}\" is forbidden: {}",
                    wanted.resource,
                    wanted.name,
                    wanted.refusal(&user)
                );
                return Err(ApiError::new(403, "Forbidden", message));
            }
        }
        let mut all: Vec<String> = groups.into_iter().map(str::to_owned).collect();
        if let Some((namespace, _)) = account
            && all.is_empty()
        {
            all = vec![
                "system:serviceaccounts".to_owned(),
                format!("system:serviceaccounts:{namespace}"),
            ];
        }
        Ok(User::new(*name, all))
    }
}
