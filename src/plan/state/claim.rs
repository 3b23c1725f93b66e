//! Whose an object is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What may be taken over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Adopt {
    /// Nothing: only what is ours is touched.
    #[default]
    Ours,
    /// What nobody owns.
    Unowned,
    /// Everything, from other owners too.
    All,
}

/// What our own record says of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// Nothing.
    No,
    /// That we set out to make it; `as_made`: and it is just what we set out to make.
    Pending {
        /// It is as it was to be made.
        as_made: bool,
    },
    /// That we have it.
    Yes,
}

/// Whose an object is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It does not exist, and nobody has a claim to it.
    Free,
    /// Ours.
    Ours,
    /// Another's or nobody's so far, and to be taken over.
    Adopted {
        /// The owner that it had.
        from: Option<String>,
    },
    /// It exists, is nobody's, and may not be taken over.
    Unowned,
    /// Another owner's.
    Foreign {
        /// The owner.
        owner: String,
    },
}

/// Decides whose an object is. `exists`: there is such an object; `foreign`: another owner's record, or a service's own
/// metadata, names that owner.
///
/// | our record | another owner | exists | may be taken over | claim |
/// |---|---|---|---|---|
/// | ours | any | any | any | ours |
/// | pending | none | no | any | free |
/// | pending | none | as it was to be made | any | ours: an earlier run was killed behind its write |
/// | pending | none | otherwise | nobody's, all | adopted |
/// | pending | none | otherwise | ours | unowned: somebody else made it meanwhile |
/// | none, pending | one | any | all | adopted from that one |
/// | none, pending | one | any | ours, nobody's | foreign |
/// | none | none | no | any | free |
/// | none | none | yes | nobody's, all | adopted |
/// | none | none | yes | ours | unowned |
pub fn claim(recorded: Recorded, foreign: Option<&str>, exists: bool, adopt: Adopt) -> Claim {
    match (recorded, foreign, exists) {
        (Recorded::Yes, _, _) => Claim::Ours,
        (_, Some(owner), _) if adopt == Adopt::All => Claim::Adopted { from: Some(owner.to_owned()) },
        (_, Some(owner), _) => Claim::Foreign { owner: owner.to_owned() },
        (_, None, false) => Claim::Free,
        (Recorded::Pending { as_made: true }, None, true) => Claim::Ours,
        (_, None, true) if adopt == Adopt::Ours => Claim::Unowned,
        (_, None, true) => Claim::Adopted { from: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every cell of the table above: what is recorded, the other owner, whether it exists; and the claim under
    /// `Ours`, `Unowned` and `All`.
    #[test]
    fn every_cell() {
        let (ours, free, unowned) = (|| Claim::Ours, || Claim::Free, || Claim::Unowned);
        let foreign = || Claim::Foreign { owner: "them".to_owned() };
        let adopted = || Claim::Adopted { from: None };
        let from_them = || Claim::Adopted { from: Some("them".to_owned()) };
        let (no, yes) = (Recorded::No, Recorded::Yes);
        let (made, other) = (Recorded::Pending { as_made: true }, Recorded::Pending { as_made: false });
        let them = Some("them");
        let cells = [
            (yes, None, false, [ours(), ours(), ours()]),
            (yes, None, true, [ours(), ours(), ours()]),
            (yes, them, false, [ours(), ours(), ours()]),
            (yes, them, true, [ours(), ours(), ours()]),
            (made, None, false, [free(), free(), free()]),
            (made, None, true, [ours(), ours(), ours()]),
            (made, them, false, [foreign(), foreign(), from_them()]),
            (made, them, true, [foreign(), foreign(), from_them()]),
            (other, None, false, [free(), free(), free()]),
            (other, None, true, [unowned(), adopted(), adopted()]),
            (other, them, false, [foreign(), foreign(), from_them()]),
            (other, them, true, [foreign(), foreign(), from_them()]),
            (no, None, false, [free(), free(), free()]),
            (no, None, true, [unowned(), adopted(), adopted()]),
            (no, them, false, [foreign(), foreign(), from_them()]),
            (no, them, true, [foreign(), foreign(), from_them()]),
        ];
        for (recorded, other, exists, claims) in cells {
            for (adopt, expected) in [Adopt::Ours, Adopt::Unowned, Adopt::All].into_iter().zip(claims) {
                let found = claim(recorded, other, exists, adopt);
                assert_eq!(found, expected, "{recorded:?}, {other:?}, exists: {exists}, {adopt:?}");
            }
        }
    }
}
