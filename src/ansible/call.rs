//! One call of a module: what Ansible passes beside the options, and what must not be seen.

use std::cell::RefCell;

use serde_json::{Map, Value};

use crate::consul::{Client, Query, Secret, Settings};
use crate::reconcile;

use super::Failure;
use super::coerce::boolean;
use super::spec::Spec;

/// What Ansible shows in place of a secret option's value.
const NOT_SHOWN: &str = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER";

/// One call of a module.
#[derive(Debug, Default)]
pub(super) struct Call {
    /// Say what would be done, and do nothing.
    pub check_mode: bool,
    /// Say what differs.
    pub diff_mode: bool,
    /// Texts that must not appear in what is printed.
    secrets: RefCell<Vec<Secret>>,
}

impl Call {
    pub fn new(spec: &Spec, arguments: &Map<String, Value>) -> Self {
        // Ansible sends a boolean; who pipes the same JSON by hand may write a text, and must not be surprised.
        let flag = |name: &str| arguments.get(name).cloned().is_some_and(|value| boolean(value).unwrap_or(true));
        let call = Self {
            check_mode: flag("_ansible_check_mode"),
            diff_mode: flag("_ansible_diff"),
            secrets: RefCell::default(),
        };
        for (name, value) in arguments {
            match value {
                Value::String(text) if spec.get(name).is_some_and(|option| option.secret) => call.hide_text(text),
                // A password in a URL is refused later on; until then it is not to be seen either.
                Value::String(text) if name == "host" => {
                    let authority = text.split_once("://").map_or(text.as_str(), |(_, rest)| rest);
                    for secret in [
                        authority.rsplit_once('@').map(|(user, _)| user),
                        authority.split_once('?').map(|(_, query)| query),
                    ] {
                        call.hide_text(secret.unwrap_or_default());
                    }
                }
                _ => {}
            }
        }
        call
    }

    /// A client of these settings, whose secrets (from the environment, or a file) are not to be seen from here on.
    ///
    /// # Errors
    /// Settings that make no sense, or a partition that this Consul would ignore.
    pub fn connect(&self, settings: Settings, query: &Query) -> Result<Client, Failure> {
        let config = settings.into_config()?;
        self.secrets.borrow_mut().extend(config.secrets());
        let client = Client::new(config)?;
        reconcile::trust_partition(&client, query)?;
        Ok(client)
    }

    fn hide_text(&self, text: &str) {
        if !text.is_empty() {
            self.secrets.borrow_mut().push(Secret::new(text));
        }
    }

    /// `text`, every secret in it replaced.
    pub fn mask(&self, text: &str) -> String {
        self.secrets.borrow().iter().fold(text.to_owned(), |text, secret| secret.mask(&text))
    }

    /// The options as they were understood, for the result; secret ones are not shown.
    pub fn invocation(&self, spec: &Spec, coerced: &Map<String, Value>) -> Value {
        let shown = spec.options.iter().map(|(name, option)| {
            let value = match coerced.get(name) {
                Some(_) if option.secret => Value::from(NOT_SHOWN),
                Some(Value::String(text)) => Value::from(self.mask(text)),
                Some(value) => value.clone(),
                None => option.default.clone(),
            };
            (name.clone(), value)
        });
        Value::Object(Map::from_iter([("module_args".to_owned(), Value::Object(shown.collect()))]))
    }
}
