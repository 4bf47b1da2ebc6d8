-- `at` is the time a run began, in microseconds, times 1024 and a number that tells runs of one microsecond apart: the order
-- of the rows is the order of time, so that the newest of whatever is searched for come first without sorting.
CREATE TABLE runs (
    at         INTEGER PRIMARY KEY,
    id         TEXT NOT NULL UNIQUE,
    version    TEXT NOT NULL,
    provider   TEXT NOT NULL,
    throughput REAL NOT NULL,
    p50        REAL NOT NULL,
    p99        REAL NOT NULL,
    summary    TEXT NOT NULL
) STRICT;
CREATE INDEX runs_provider   ON runs (provider, version);
CREATE INDEX runs_version    ON runs (version, provider);
-- Filters are decided in the index, also when few rows fit.
CREATE INDEX runs_throughput ON runs (throughput, provider, version);
CREATE INDEX runs_p50        ON runs (p50, provider, version);
CREATE INDEX runs_p99        ON runs (p99, provider, version);

-- Apart from `runs`, so that a walk through the list touches no document.
CREATE TABLE documents (
    id   TEXT PRIMARY KEY,
    text TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What a run can be found by; every three letters in a row are indexed, so that parts of words are found too.
CREATE VIRTUAL TABLE words USING fts5 (text, content = '', columnsize = 0, tokenize = 'trigram');

CREATE TABLE demos (
    id   TEXT PRIMARY KEY,
    demo TEXT NOT NULL
) STRICT, WITHOUT ROWID;

PRAGMA user_version = 1;
