//! `/v1/txn`

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::call::Call;
use super::reply::{Answer, Refusal, Reply};
use crate::dev::state::{KvOperation, State, TxnFailure, TxnResult};

/// No transaction has more operations.
const MOST: usize = 64;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Operation {
    #[serde(rename = "KV", default)]
    kv: Option<KvOperation>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Outcome {
    results: Option<Vec<TxnResult>>,
    errors: Option<Vec<TxnFailure>>,
    /// Of one that only reads.
    #[serde(flatten)]
    meta: Option<Meta>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Meta {
    index: u64,
    last_contact: u64,
    known_leader: bool,
    consistency_level: &'static str,
}

/// Does several things at once, or nothing.
pub(super) fn apply(state: &mut State, call: &Call) -> Answer {
    let operations: Vec<Operation> = serde_json::from_slice(&call.body).map_err(|error| {
        Refusal::bad(format!(
            "Failed to parse body: {}",
            if call.body.is_empty() { "EOF".to_owned() } else { error.to_string() }
        ))
    })?;
    let count = operations.len();
    if count > MOST {
        let text = format!("Transaction contains too many operations ({count} > {MOST})");
        return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, text));
    }
    let operations: Vec<KvOperation> = operations.into_iter().filter_map(|operation| operation.kv).collect();
    let meta = (!operations.iter().any(KvOperation::writes)).then_some(Meta {
        index: 0,
        last_contact: 0,
        known_leader: true,
        consistency_level: "",
    });
    Ok(match state.transact(&operations) {
        Ok(results) => Reply::json(&Outcome { results: Some(results), errors: None, meta }),
        Err(errors) => Reply::json_with(StatusCode::CONFLICT, &Outcome { results: None, errors: Some(errors), meta }),
    })
}
