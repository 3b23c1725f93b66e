//! One call of a module: what Ansible passes beside the options, and what must not be seen.

use std::cell::RefCell;

use serde_json::{Map, Value};

use crate::consul::{Config, Secret};

use super::spec::Spec;

/// What Ansible shows in place of a secret option's value.
const NOT_SHOWN: &str = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER";

/// The shortest text that is masked where it appears inside another, in bytes. To mask a single letter would hide
/// nothing, and leave no message that can be read.
const SHORTEST: usize = 4;

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
        let flag = |name: &str| arguments.get(name) == Some(&Value::Bool(true));
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
                    if let Some((user, _)) = authority.rsplit_once('@') {
                        call.hide_text(user);
                    }
                }
                _ => {}
            }
        }
        call
    }

    /// Hides the secrets that came from elsewhere: the environment, a file.
    pub fn hide(&self, config: &Config) {
        for secret in [&config.token, &config.auth].into_iter().flatten() {
            self.hide_text(secret.reveal());
        }
    }

    fn hide_text(&self, text: &str) {
        if text.len() >= SHORTEST {
            self.secrets.borrow_mut().push(Secret::new(text));
        }
    }

    /// `text`, every secret in it replaced.
    pub fn mask(&self, text: &str) -> String {
        self.secrets.borrow().iter().fold(text.to_owned(), |text, secret| text.replace(secret.reveal(), "********"))
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
