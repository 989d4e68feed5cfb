//! The only integration-test binary: features of the service, told as stories, on the real local stack.
//!
//! What tools of this kind get wrong, each held here by a story:
//!
//! | what | story |
//! |---|---|
//! | 10,000-row cap read as the end | `cap::a_result_cut_at_the_cap_is_not_read_as_the_end` |
//! | rejected cursor ignored and state advanced | `cursor::a_stretch_restarts_at_most_five_times_and_then_fails_and_advances_nothing` |
//! | strict `after` loses same-minute edits | `sync::a_page_edited_twice_in_one_minute_is_not_lost` |
//! | watermark = newest row seen | `sync::a_date_in_the_future_is_known_and_wakes_nobody`, `sync::a_page_that_the_index_shows_a_minute_late_is_not_lost` |
//! | archived rows vanish | `sync::an_edit_and_an_archived_page_take_one_merge`, `sweep::a_row_archived_without_an_edit_is_read_again` |
//! | trashed rows stay for ever | `sweep::trashed_moved_and_gone_rows_are_marked_with_their_reason_and_keep_their_payload` |
//! | everything is tombstoned when access is lost | `sweep::a_data_source_that_is_not_visible_any_more_marks_nothing`, `sweep::a_database_that_is_not_visible_any_more_marks_nothing`, `sweep::a_source_that_answers_403_marks_nothing` |
//! | second data source breaks the sync | `sync::a_second_data_source_gets_its_own_first_walk` |
//! | relations cut at 25 | `hydrate::relations_people_and_mentions_beyond_25_are_read_in_full_and_counted` |
//! | signed URLs make each row look changed | `sync::signed_urls_that_differ_on_each_read_change_no_row` |
//! | malformed JSON merged as zero rows with success | `proof::malformed_rows_never_merge_as_zero_rows_with_success` |
//! | submit retried around poll | `proof::a_warehouse_that_takes_long_to_start_is_polled_and_nothing_is_submitted_again` |
//! | duplicates inserted | `sync::the_answer_of_a_merge_lost_after_it_was_applied_leaves_each_row_once` |
//! | 504 kills the run | `cursor::a_504_or_503_that_lasts_halves_the_page_and_each_level_has_its_own_three_retries` |
//! | success reported on partial data | `proof::success_reported_for_a_merge_that_wrote_nothing_fails_the_proof_and_the_watermark_stays`, `sync::a_partial_object_fails_the_run_names_the_page_and_advances_nothing` |
//! | warehouse woken every 15 minutes for nothing | `sync::the_first_sync_brings_every_row_and_an_idle_run_sends_no_statement`, `sync::an_idle_run_asks_for_no_token` |
//! | token expiry needs a redeploy | `rotation::a_client_secret_is_rotated_between_runs_and_in_the_middle_of_one`, `rotation::databricks_token_is_rotated_between_runs_and_in_the_middle_of_one`, `rotation::notions_key_is_rotated_between_runs_and_in_the_middle_of_one` |

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "what surprises a test fails it")]
#![expect(clippy::print_stdout, reason = "a test may say how much it tried")]
#![expect(clippy::large_futures, reason = "a test's world is large, and there is one of it")]

mod support;

mod cap;
mod cli_process;
mod crash;
mod cursor;
mod docs;
mod dry_run;
mod edge;
mod fault_matrix;
mod full_refresh;
mod fuzz;
mod hydrate;
mod lambda_process;
mod mutated_answers;
mod pending_work;
mod proof;
mod public_faults;
mod resume;
mod rights;
mod rotation;
mod schema_upgrade;
mod secrets;
mod simulation;
mod stale_cache;
mod startup;
mod sweep;
mod sync;
mod tidy;
mod verdicts;
mod verify;
mod view_reading;
mod view_types;
mod views;
mod walkers;
mod watermark;
