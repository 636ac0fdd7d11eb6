"""Rows of the catalogue that need more than one message, or more than a shell: the tests that keep them."""

from __future__ import annotations

ELSEWHERE: dict[str, tuple[str, ...]] = {
    "B14": ("test_matrix",),
    "B15": ("test_nothing_is_answered_outside_the_senders_inbox",),
    "B16": (
        "test_the_same_key_and_body_is_the_same_job",
        "test_the_same_line_twice_is_the_same_job",
        "test_the_same_id_and_body_is_one_job",
    ),
    "B17": (
        "test_the_same_key_and_another_body_shows_both_hashes",
        "test_another_line_with_the_same_key_is_a_conflict",
        "test_the_same_id_with_another_body_is_rejected",
    ),
    "B19": (
        "test_expiry_ends_an_open_connection",
        "test_a_revoked_credential_is_out_at_once",
    ),
    "B36": (
        "test_what_cannot_be_executed_says_why",
        "test_what_cannot_run_is_not_retried",
    ),
    "B37": (
        "test_what_cannot_be_executed_says_why",
        "test_what_cannot_run_is_not_retried",
    ),
    "B71": (
        "test_what_fails_is_tried_again_under_the_same_id_and_then_given_up",
        "test_a_hanging_receiver_is_left_after_its_time",
    ),
    "B86": ("test_the_older_of_two_agents_with_one_key_is_fenced",),
    "B88": ("test_a_wrong_clock_is_noticed_and_its_samples_are_taken",),
    "B90": ("test_a_beat_names_what_the_agent_must_drop",),
    "B91": ("test_every_pair",),
    "B95": ("test_what_leads_elsewhere", "test_what_cannot_be_brought"),
    "B96": ("test_what_cannot_be_a_name", "test_an_upload_is_the_askers_and_only_as_announced"),
    "B97": ("test_names_that_clash_are_refused",),
    "B98": ("test_tricks_are_refused_and_the_honest_file_is_taken", "test_what_is_no_file_is_not_taken"),
    "B99": ("test_a_file_that_changes_meanwhile_is_not_kept", "test_a_file_that_grows_is_tried_again"),
    "B100": ("test_wrong_content_leaves_nothing", "test_content_that_is_not_what_was_announced_is_nowhere"),
    "B101": ("test_a_tar_with_one_bad_member", "test_too_many_members", "test_a_bomb"),
    "B102": ("test_a_zip_with_one_bad_member", "test_an_encrypted_zip_and_overlapping_entries"),
    "B103": ("test_a_full_store_keeps_the_result_and_takes_the_file_later",),
    "B104": ("test_a_file_is_taken_with_its_type", "test_files_are_taken_at_the_end_and_leave_the_folder"),
    "B106": (
        "test_what_looks_like_sql_is_text",
        "test_filter_sort_and_states_are_the_coordinators",
    ),
    "B111": ("test_a_finished_task_is_read_to_its_end",),
    "B114": (
        "test_a_reader_that_has_enough_ends_an_endless_list",
        "test_closed_streams_leave_no_traceback",
    ),
    "B115": (
        "test_a_wrong_file_is_named_with_its_line",
        "test_a_file_that_was_named_must_be_there",
    ),
    "B116": ("test_the_environment_wins_over_the_users_file_and_both_are_explained",),
    "B117": (
        "test_what_cannot_be_used_is_one_line_before_anything_starts",
        "test_up_says_what_is_wrong",
        "test_a_server_with_tls_of_its_own_proves_itself_or_is_not_used",
        "test_a_server_that_is_not_there_is_named",
        "test_credentials_of_another_cluster_are_refused",
        "test_expired_credentials_are_refused",
    ),
    "B119": (
        "test_a_schema_of_another_version_is_refused_and_doctor_says_which",
        "test_a_newer_and_a_dirty_schema_are_refused",
        "test_a_newer_schema_is_refused",
        "test_an_edited_migration_is_refused",
    ),
    "B120": ("test_a_living_leader_is_not_replaced",),
    "B121": (
        "test_b121_it_stays_up_on_poor_terminals",
        "test_b121_a_storm_of_sizes_leaves_it_standing",
        "test_b121_a_megabyte_pasted_is_cut_not_choked_on",
        "test_a_dumb_terminal_gets_plain_lines",
    ),
    "B122": (
        "test_ctrl_c_cancels_and_a_second_one_says_what_may_still_run",
        "test_an_interrupted_run_cancels_its_job",
    ),
}
