// SPDX-License-Identifier: Apache-2.0
//! The pings of a job, in the convention of healthchecks.io: the start of a run and its end.

use super::secret::Secret;

/// What a ping reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// The run starts.
    Start,
    /// The run ended with this exit code.
    Exit(u8),
}

impl Signal {
    /// The URL of the ping: the URL of the check itself for a success, else with `/start` or the exit code at the end of
    /// its path.
    pub fn url(self, check: &Secret) -> Secret {
        let url = check.expose();
        let suffix = match self {
            Signal::Exit(0) => return check.clone(),
            Signal::Start => "start".to_owned(),
            Signal::Exit(code) => code.to_string(),
        };
        let (path, query) = url.find(['?', '#']).map_or((url, ""), |at| url.split_at(at));
        Secret::new(format!("{}/{suffix}{query}", path.trim_end_matches('/')))
    }

    /// The signal for a message.
    pub fn describe(self) -> String {
        match self {
            Signal::Start => "the start".to_owned(),
            Signal::Exit(0) => "the success".to_owned(),
            Signal::Exit(code) => format!("the exit code {code}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signal_is_at_the_end_of_the_path() {
        for (check, signal, want) in [
            ("https://hc.example/uuid", Signal::Start, "https://hc.example/uuid/start"),
            ("https://hc.example/uuid", Signal::Exit(0), "https://hc.example/uuid"),
            ("https://hc.example/uuid/", Signal::Exit(3), "https://hc.example/uuid/3"),
            (
                "https://hc.example/key/slug?create=1",
                Signal::Exit(75),
                "https://hc.example/key/slug/75?create=1",
            ),
            ("https://hc.example/key/slug?create=1", Signal::Exit(0), "https://hc.example/key/slug?create=1"),
        ] {
            assert_eq!(signal.url(&Secret::new(check)).expose(), want);
        }
    }
}
