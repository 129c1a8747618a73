//! The token that says who gives a command.

use std::path::PathBuf;

use contracts::client::Bearer;

use crate::exit::{Exit, Failure};

/// Where the token is, unless it is in a file. It is no flag: other users see those.
const TOKEN: &str = "SHOP_TOKEN";

/// For a store that demands tokens.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct TokenArgs {
    /// File that holds a token (JWT) to say who you are with; it comes before SHOP_TOKEN, which holds
    /// the token itself.
    #[arg(long, env = "SHOP_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

impl TokenArgs {
    /// The token, if there is one.
    ///
    /// # Errors
    /// [`Exit::Usage`] when the file cannot be read, or what is there is no token.
    pub fn bearer(&self) -> Result<Bearer, Failure> {
        let (place, text) = match &self.token_file {
            Some(path) => {
                let place = format!("--token-file {}", path.display());
                let text = std::fs::read_to_string(path);
                let text =
                    text.map_err(|error| Failure::new(Exit::Usage, format!("{place}: {error}")))?;
                (place, text)
            }
            None => match std::env::var(TOKEN) {
                Ok(text) if !text.is_empty() => (TOKEN.to_owned(), text),
                _ => return Ok(Bearer::default()),
            },
        };
        Bearer::new(&text).map_err(|error| Failure::new(Exit::Usage, format!("{place}: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_token_is_named_and_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let args = TokenArgs {
            token_file: Some(folder.path().join("token")),
        };
        let path = args.token_file.clone().unwrap();
        assert_eq!(args.bearer().unwrap_err().exit, Exit::Usage);
        std::fs::write(&path, "two words").unwrap();
        let failure = args.bearer().unwrap_err();
        assert!(failure.message.starts_with("--token-file "), "{failure}");
        assert!(!failure.message.contains("words"), "{failure}");
        std::fs::write(&path, "a.b.c\n").unwrap();
        assert!(args.bearer().unwrap().is_some());
    }
}
