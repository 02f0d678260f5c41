//! `[identity]`: what makes a subscriber line the same line tomorrow. Bindings, sessions and AAA answers hang on it.
//!
//! `"line"` is the circuit-id where it is present and trusted, else port, S-VLAN and C-VLAN. Anything else is a template of
//! text and `{fields}`: `"{remote_id}"` follows the ONT when it moves, `"{relay_id}|{circuit_id}"` joins two.

use crate::problem::ProblemKind;
use crate::reader::Section;
use crate::value::Value;
use std::fmt;
use std::str::FromStr;
use toml::de::DeValue;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdentityConfig {
    pub template: IdentityTemplate,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum IdentityTemplate {
    /// Circuit-id when present and trusted, else port, S-VLAN and C-VLAN.
    #[default]
    Line,
    /// The parts in order; a packet that lacks one of the fields has no identity and is refused.
    Parts(Vec<IdentityPart>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentityPart {
    Text(String),
    Field(IdentityField),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IdentityField {
    /// Option 82 sub-option 1.
    CircuitId,
    /// Option 82 sub-option 2.
    RemoteId,
    /// Option 82 sub-option 12 (RFC 6925).
    RelayId,
    /// The ONT on the line, as the access node reported it.
    OntSerial,
    Port,
    SVlan,
    CVlan,
}

/// Why a text is no identity template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("has no field {{{found}}}")]
    UnknownField { found: String },
    #[error("has a brace without its partner")]
    Unbalanced,
    #[error("would give many lines the same identity")]
    NotUnique,
    #[error("is longer than {max} characters", max = TEMPLATE_MAX)]
    TooLong,
}

/// Bounds the identity itself: fields add at most 255 octets each.
pub const TEMPLATE_MAX: usize = 128;

impl IdentityField {
    pub const ALL: [(&'static str, IdentityField); 7] = [
        ("circuit_id", IdentityField::CircuitId),
        ("remote_id", IdentityField::RemoteId),
        ("relay_id", IdentityField::RelayId),
        ("ont_serial", IdentityField::OntSerial),
        ("port", IdentityField::Port),
        ("s_vlan", IdentityField::SVlan),
        ("c_vlan", IdentityField::CVlan),
    ];

    /// Fields that tell one line of the gateway from every other by themselves.
    const fn names_a_line(self) -> bool {
        matches!(
            self,
            IdentityField::CircuitId | IdentityField::RemoteId | IdentityField::OntSerial
        )
    }
}

impl FromStr for IdentityTemplate {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<IdentityTemplate, TemplateError> {
        if text == "line" {
            return Ok(IdentityTemplate::Line);
        }
        if text.chars().count() > TEMPLATE_MAX {
            return Err(TemplateError::TooLong);
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let literal = rest.find(['{', '}']).unwrap_or(rest.len());
            if literal > 0 {
                parts.push(IdentityPart::Text(rest[..literal].to_owned()));
                rest = &rest[literal..];
                continue;
            }
            let field = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
            let (name, after) = field.ok_or(TemplateError::Unbalanced)?;
            let known = IdentityField::ALL.iter().find(|(known, _)| *known == name);
            let (_, field) = known.ok_or_else(|| TemplateError::UnknownField {
                found: name.to_owned(),
            })?;
            parts.push(IdentityPart::Field(*field));
            rest = after;
        }
        if tells_lines_apart(&parts) {
            Ok(IdentityTemplate::Parts(parts))
        } else {
            Err(TemplateError::NotUnique)
        }
    }
}

fn tells_lines_apart(parts: &[IdentityPart]) -> bool {
    let has = |field| parts.contains(&IdentityPart::Field(field));
    let named = |part: &IdentityPart| matches!(part, IdentityPart::Field(field) if field.names_a_line());
    let by_tags = has(IdentityField::Port) && has(IdentityField::SVlan) && has(IdentityField::CVlan);
    parts.iter().any(named) || by_tags
}

impl fmt::Display for IdentityTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let IdentityTemplate::Parts(parts) = self else {
            return f.write_str("line");
        };
        for part in parts {
            match part {
                IdentityPart::Text(text) => f.write_str(text)?,
                IdentityPart::Field(field) => {
                    let name = IdentityField::ALL.iter().find(|(_, known)| known == field);
                    write!(f, "{{{}}}", name.map_or("", |(name, _)| name))?;
                }
            }
        }
        Ok(())
    }
}

impl Value for IdentityTemplate {
    fn read(value: &DeValue<'_>) -> Result<IdentityTemplate, ProblemKind> {
        Ok(crate::value::text(value, "\"line\" or a template")?.parse::<IdentityTemplate>()?)
    }
}

impl IdentityConfig {
    pub(crate) fn read(section: &Section<'_>) -> IdentityConfig {
        let template = section.get_or("template", IdentityTemplate::Line);
        section.finish();
        IdentityConfig { template }
    }
}
