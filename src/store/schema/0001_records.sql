-- One text for SQLite and Postgres. Times are Unix time in ms (`*_ms` of calls, journals, outbox) or ms since the call began
-- (`at_ms`, `from_ms`, `to_ms`). Truth values are 0 and 1.

-- How far each journal has been brought in, and when its bridge was last seen.
CREATE TABLE journals (
    id TEXT PRIMARY KEY,
    applied BIGINT NOT NULL,
    seen_ms BIGINT NOT NULL
);

CREATE TABLE calls (
    sid TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    direction TEXT NOT NULL,
    agent TEXT NOT NULL,
    model TEXT NOT NULL,
    from_number TEXT NOT NULL,
    to_number TEXT NOT NULL,
    started_ms BIGINT NOT NULL,
    ended_ms BIGINT,
    call_end TEXT,
    total_tokens BIGINT NOT NULL DEFAULT 0,
    text_in BIGINT NOT NULL DEFAULT 0,
    audio_in BIGINT NOT NULL DEFAULT 0,
    cached_text_in BIGINT NOT NULL DEFAULT 0,
    cached_audio_in BIGINT NOT NULL DEFAULT 0,
    text_out BIGINT NOT NULL DEFAULT 0,
    audio_out BIGINT NOT NULL DEFAULT 0,
    cost_micros BIGINT,
    interruptions BIGINT NOT NULL DEFAULT 0,
    uplink_p99_us BIGINT,
    downlink_p99_us BIGINT,
    recording TEXT,
    detail TEXT,
    journal TEXT NOT NULL,
    boot TEXT NOT NULL
);
CREATE INDEX calls_started ON calls (started_ms, sid);
CREATE INDEX calls_from ON calls (from_number, started_ms);
CREATE INDEX calls_to ON calls (to_number, started_ms);
CREATE INDEX calls_open ON calls (journal) WHERE call_end IS NULL;

CREATE TABLE turns (
    call_sid TEXT NOT NULL,
    item_id TEXT NOT NULL,
    position BIGINT NOT NULL,
    speaker TEXT NOT NULL,
    text TEXT NOT NULL,
    from_ms BIGINT NOT NULL,
    to_ms BIGINT NOT NULL,
    interrupted BIGINT NOT NULL,
    created_ms BIGINT,
    sounding_ms BIGINT,
    sent_ms BIGINT,
    PRIMARY KEY (call_sid, item_id)
);

CREATE TABLE tool_calls (
    call_sid TEXT NOT NULL,
    call_id TEXT NOT NULL,
    name TEXT NOT NULL,
    arguments TEXT,
    at_ms BIGINT,
    ok BIGINT,
    output TEXT,
    took_ms BIGINT,
    PRIMARY KEY (call_sid, call_id)
);

-- A record's number in its journal is its id: the same record cannot be here twice.
CREATE TABLE events (
    call_sid TEXT NOT NULL,
    journal TEXT NOT NULL,
    number BIGINT NOT NULL,
    type TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (call_sid, journal, number)
);

-- Webhooks that are to be delivered. `next_ms` NULL: given up.
CREATE TABLE outbox (
    id TEXT PRIMARY KEY,
    type TEXT NOT NULL,
    call_sid TEXT NOT NULL,
    body TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    next_ms BIGINT,
    last_error TEXT
);
CREATE INDEX outbox_due ON outbox (next_ms);
CREATE INDEX outbox_call ON outbox (call_sid);
