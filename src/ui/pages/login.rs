//! The page on which a user signs in.

use maud::{DOCTYPE, Markup, html};

use super::layout::head;

/// A form for a bearer token. `why` says what was wrong with the last one; `command` prints one.
pub(in crate::ui) fn login(why: Option<&str>, command: Option<&str>) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head("Sign in"))
            body {
                main #main.narrow {
                    h1 { "Sign in to ksit" }
                    @if let Some(why) = why { p.stale role="alert" { (why) } }
                    @if let Some(command) = command {
                        p { "Use a token of an account that may list IntegrationTargets, such as the output of" }
                        pre { (command) }
                        form method="post" action="/login" {
                            label for="token" { "Token" }
                            input #token name="token" type="password" autocomplete="off" required autofocus;
                            button type="submit" { "Sign in" }
                        }
                    } @else {
                        p { "Open the URL that " code { "ksit ui" } " printed. It works once; stop the command and start it again for a new one." }
                    }
                }
            }
        }
    }
}
