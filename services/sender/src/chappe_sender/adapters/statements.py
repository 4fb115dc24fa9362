"""The ledger's SQL, whole."""

from chappe.shards import FencedStatement

SCHEMA = "sender"

LOAD_MESSAGES = """
    SELECT id, shard, workspace, contact, enrollment, journey, version, step, template,
           message_class, test, state, committing, asked_at
      FROM sender.message WHERE id = ANY($1::text[]) ORDER BY id FOR UPDATE
"""

LOAD_PERMISSIONS = """
    SELECT workspace, contact, state, at, source, proof, topics_out::text AS topics_out, erased,
           tracking, tracking_at, tracking_source, tracking_proof
      FROM sender.permission
      JOIN unnest($1::text[], $2::text[]) u(workspace, contact) USING (workspace, contact)
"""

SET_HOLD = """
    INSERT INTO sender.hold (shard, workspace, journey, at) VALUES ($1, $2, $3, $4)
        ON CONFLICT DO NOTHING
"""

CLEAR_HOLD = "DELETE FROM sender.hold WHERE shard = $1 AND workspace = $2 AND journey = $3"

HOLD_MESSAGES = """
    UPDATE sender.message SET held = $4
     WHERE shard = $1 AND workspace = $2 AND journey = $3
       AND state IN ('pending', 'scheduled') AND held <> $4
"""

HOLDS = "SELECT shard, workspace, journey FROM sender.hold WHERE shard = ANY($1::int[])"

APPLY = FencedStatement(
    SCHEMA,
    {
        # A tombstone meets a row only when another shard asked meanwhile: it wins before the wire.
        "inserted": """
            INSERT INTO sender.message AS m (
                id, shard, workspace, contact, enrollment, journey, version, step, template,
                message_class, topic, address, address_key, locale, test, priority, state, held,
                reason, next_attempt_at, asked_at, due_at, deadline, updated_at,
                need_live, need_bulk, snapshot, address_hash)
            SELECT id, shard, workspace, contact, enrollment, journey, version, step, template,
                   message_class, topic, address, address_key, locale, test, priority, state,
                   held, reason, {now}, asked_at, due_at, deadline, {now},
                   need_live, need_bulk, snapshot, address_hash
              FROM unnest({ids}::text[], {shards}::int[], {workspaces}::text[], {contacts}::text[],
                          {enrollments}::text[], {journeys}::text[], {versions}::int[],
                          {steps}::text[], {templates}::text[], {classes}::text[], {topics}::text[],
                          {addresses}::text[], {address_keys}::text[], {locales}::text[],
                          {tests}::bool[],
                          {priorities}::smallint[], {states}::text[], {helds}::bool[],
                          {reasons}::text[], {asked_ats}::timestamptz[], {due_ats}::timestamptz[],
                          {deadlines}::timestamptz[], {need_lives}::bigint[],
                          {need_bulks}::bigint[], {snapshots}::bytea[], {address_hashes}::text[])
                   u(id, shard, workspace, contact, enrollment, journey, version, step, template,
                     message_class, topic, address, address_key, locale, test, priority, state,
                     held, reason,
                     asked_at, due_at, deadline, need_live, need_bulk, snapshot, address_hash)
                ON CONFLICT (id) DO UPDATE
                   SET state = 'cancelled', reason = excluded.reason, updated_at = {now}
                 WHERE excluded.state = 'cancelled' AND m.state IN ('pending', 'scheduled')""",
        "cancelled": """
            UPDATE sender.message m SET state = 'cancelled', reason = u.reason, updated_at = {now}
              FROM unnest({cancel_ids}::text[], {cancel_reasons}::text[]) u(id, reason)
             WHERE m.id = u.id AND (m.state IN ('pending', 'scheduled')
                                    OR m.state = 'sending' AND NOT m.committing)""",
        "permitted": """
            INSERT INTO sender.permission
                   (workspace, contact, state, at, source, proof, topics_out, erased,
                    tracking, tracking_at, tracking_source, tracking_proof)
            SELECT workspace, contact, state, at, source, proof, topics_out::jsonb, erased,
                   tracking, tracking_at, tracking_source, tracking_proof
              FROM unnest({p_workspaces}::text[], {p_contacts}::text[], {p_states}::text[],
                          {p_ats}::timestamptz[], {p_sources}::text[], {p_proofs}::text[],
                          {p_topics_out}::text[], {p_erased}::bool[],
                          {p_trackings}::text[], {p_tracking_ats}::timestamptz[],
                          {p_tracking_sources}::text[], {p_tracking_proofs}::text[])
                   u(workspace, contact, state, at, source, proof, topics_out, erased,
                     tracking, tracking_at, tracking_source, tracking_proof)
                ON CONFLICT (workspace, contact) DO UPDATE
                   SET state = excluded.state, at = excluded.at, source = excluded.source,
                       proof = excluded.proof, topics_out = excluded.topics_out,
                       erased = excluded.erased, tracking = excluded.tracking,
                       tracking_at = excluded.tracking_at,
                       tracking_source = excluded.tracking_source,
                       tracking_proof = excluded.tracking_proof""",
        # What closes an address for every mail is never weakened to what closes it for marketing.
        "closed": """
            INSERT INTO sender.suppression AS was (workspace, address, scope, reason, at, source)
            SELECT workspace, address, scope, reason, at, 'event'
              FROM unnest({c_workspaces}::text[], {c_addresses}::text[], {c_scopes}::text[],
                          {c_reasons}::text[], {c_ats}::timestamptz[])
                   u(workspace, address, scope, reason, at)
                ON CONFLICT (workspace, address, scope) DO UPDATE
                   SET reason = excluded.reason, at = excluded.at, source = excluded.source
                 WHERE was.reason IN ('unsubscribed', 'erased')""",
        "lifted": """
            DELETE FROM sender.suppression s
             USING unnest({l_workspaces}::text[], {l_addresses}::text[], {l_ats}::timestamptz[])
                   u(workspace, address, at)
             WHERE s.workspace = u.workspace AND s.address = u.address AND s.scope = ''
               AND s.reason IN ('unsubscribed', 'erased') AND s.at < u.at""",
    },
)

# The heads of all lanes, shard by shard, by jumping from one to the next in the index; and whether
# somebody has stopped anything.
LANES = """
    WITH RECURSIVE lane AS (
        SELECT u.shard, n.priority, n.workspace, n.next_attempt_at
          FROM unnest($1::int[]) u(shard)
         CROSS JOIN LATERAL (
               SELECT m.priority, m.workspace, m.next_attempt_at FROM sender.message m
                WHERE m.state IN ('pending', 'scheduled') AND NOT m.held AND NOT m.parked
                  AND m.shard = u.shard
                ORDER BY m.priority, m.workspace, m.next_attempt_at LIMIT 1) n
        UNION ALL
        SELECT l.shard, n.priority, n.workspace, n.next_attempt_at
          FROM lane l
         CROSS JOIN LATERAL (
               SELECT m.priority, m.workspace, m.next_attempt_at FROM sender.message m
                WHERE m.state IN ('pending', 'scheduled') AND NOT m.held AND NOT m.parked
                  AND m.shard = l.shard
                  AND (m.priority, m.workspace) > (l.priority, l.workspace)
                ORDER BY m.priority, m.workspace, m.next_attempt_at LIMIT 1) n)
    SELECT lane.*, EXISTS (SELECT 1 FROM sender.stop WHERE resumed_at IS NULL) AS stopping
      FROM lane LIMIT $2
"""

ACTIVE_STOPS = "SELECT id FROM sender.stop WHERE resumed_at IS NULL ORDER BY id FOR SHARE"

# What is stopped leaves its lane until somebody resumes it; at most so many of each lane at a time.
PARK = """
    UPDATE sender.message m SET parked = true, reason = 'stopped'
      FROM unnest($1::int[], $2::smallint[], $3::text[]) u(shard, priority, workspace)
     CROSS JOIN LATERAL (
           SELECT x.id FROM (
                  SELECT w, w.id FROM sender.message w
                   WHERE w.state IN ('pending', 'scheduled') AND NOT w.held AND NOT w.parked
                     AND w.shard = u.shard AND w.priority = u.priority
                     AND w.workspace = u.workspace AND w.next_attempt_at <= $4
                   ORDER BY w.next_attempt_at LIMIT $5) x
            WHERE sender.stopped(x.w, NULL)) stopped
     WHERE m.id = stopped.id AND m.state IN ('pending', 'scheduled')
"""

# One statement checks and takes: state, epoch, what was read, deadline, consent, topic, address.
# Of each lane it looks at a bounded number: behind messages that wait for their shard to read on
# there are only others that do.
CLAIM = """
    WITH mine AS MATERIALIZED (
        SELECT s.shard, s.epoch,
               coalesce((s.next_offsets->>'events')::bigint, 0) AS live,
               coalesce((s.next_offsets->>'events.bulk')::bigint, 0) AS bulk
          FROM sender.shard s
          JOIN unnest($1::int[], $2::bigint[]) u(shard, epoch)
            ON u.shard = s.shard AND u.epoch = s.epoch),
    chosen AS MATERIALIZED (
        SELECT x.id
          FROM unnest($4::int[], $7::smallint[], $8::text[], $9::int[])
               WITH ORDINALITY l(shard, priority, workspace, messages, place)
          JOIN mine ON mine.shard = l.shard
         CROSS JOIN LATERAL (
               SELECT w.id
                 FROM (SELECT m, m.id, m.need_live, m.need_bulk
                         FROM sender.message m
                        WHERE m.state IN ('pending', 'scheduled') AND NOT m.held AND NOT m.parked
                          AND m.shard = l.shard AND m.priority = l.priority
                          AND m.workspace = l.workspace AND m.next_attempt_at <= $3
                        ORDER BY m.next_attempt_at LIMIT $10) w
                WHERE w.need_live <= mine.live AND w.need_bulk <= mine.bulk
                  AND ((SELECT NOT EXISTS (SELECT 1 FROM sender.stop WHERE resumed_at IS NULL))
                       OR NOT sender.stopped(w.m, NULL))
                LIMIT l.messages) x
         ORDER BY l.place
         LIMIT $5),
    picked AS MATERIALIZED (
        SELECT m.id, m.shard, m.workspace, m.contact, m.address_key, m.address_hash, m.topic,
               m.message_class,
               m.deadline
          FROM sender.message m
         WHERE m.id IN (SELECT id FROM chosen)
           AND m.state IN ('pending', 'scheduled') AND NOT m.held AND NOT m.parked
           AND m.next_attempt_at <= $3
         ORDER BY m.id
           FOR UPDATE OF m),
    fenced AS MATERIALIZED (
        SELECT s.shard, s.epoch FROM sender.shard s JOIN mine USING (shard, epoch)
         WHERE s.shard IN (SELECT shard FROM picked)
         ORDER BY s.shard
           FOR SHARE OF s),
    judged AS (
        SELECT p.id, f.epoch,
               CASE
                 WHEN p.deadline < $3 THEN 'deadline'
                 WHEN coalesce(p.address_key, '') = '' THEN 'no_address'
                 WHEN w.erased THEN 'erased'
                 WHEN every.reason NOT IN ('unsubscribed', 'erased') THEN 'suppressed'
                 WHEN p.message_class = 'transactional' THEN NULL
                 WHEN w.state = 'unsubscribed' THEN 'unsubscribed'
                 WHEN w.state IS DISTINCT FROM 'subscribed'
                      AND (w.state IS NOT NULL OR y.consent IS DISTINCT FROM 'opt_out')
                      THEN 'no_consent'
                 WHEN every.reason IS NOT NULL THEN 'unsubscribed'
                 WHEN w.topics_out ? p.topic OR one.reason IS NOT NULL THEN 'topic_opted_out'
               END AS refusal,
               w.tracking, y.tracking_countries, y.tracking_refused
          FROM picked p
          JOIN fenced f ON f.shard = p.shard
          LEFT JOIN sender.policy y ON y.workspace = p.workspace
          LEFT JOIN sender.contact_redirect r
                 ON r.workspace = p.workspace AND r.contact = p.contact
          LEFT JOIN sender.permission w
                 ON w.workspace = p.workspace AND w.contact = coalesce(r."into", p.contact)
          LEFT JOIN LATERAL (
               SELECT s.reason FROM sender.suppression s
                WHERE s.workspace = p.workspace AND s.scope = ''
                  AND s.address IN (p.address_key, p.address_hash)
                ORDER BY s.reason IN ('unsubscribed', 'erased') LIMIT 1) every ON true
          LEFT JOIN LATERAL (
               SELECT s.reason FROM sender.suppression s
                WHERE s.workspace = p.workspace AND s.scope = p.topic
                  AND s.address IN (p.address_key, p.address_hash) LIMIT 1) one ON true)
    UPDATE sender.message m
       SET state = CASE WHEN v.refusal IS NULL THEN 'sending' ELSE 'skipped' END,
           reason = v.refusal,
           epoch = v.epoch, committing = false, attempts = m.attempts + 1,
           provider = NULL, load_key = NULL, load_at = NULL,
           dated_at = coalesce(m.dated_at, $6), updated_at = $3
      FROM judged v
     WHERE m.id = v.id
    RETURNING m.id, m.shard, m.workspace, m.contact, m.enrollment, m.journey, m.version, m.step,
              m.template, m.message_class, m.test, m.state, m.reason, m.epoch, m.address, m.locale,
              m.topic, m.attempts, m.asked_at, m.dated_at, m.snapshot,
              v.tracking, v.tracking_countries, v.tracking_refused
"""

# Whoever knows the ids asks for `state || ''`: that keeps the planner from reading through the
# index of what is being sent, which is short and full of the dead, instead of looking the ids up.

# The content is about to be written: not if the shard, the claim or the message changed meanwhile,
# or somebody stopped it.
COMMIT_TO = """
    UPDATE sender.message m
       SET committing = true, header_id = u.header_id, subject = u.subject, updated_at = $6
      FROM unnest($1::text[], $2::int[], $3::bigint[], $4::text[], $5::text[])
           u(id, shard, epoch, header_id, subject)
      JOIN (SELECT shard, epoch FROM sender.shard
             WHERE shard = ANY($2::int[]) ORDER BY shard FOR SHARE) s
        ON s.shard = u.shard AND s.epoch = u.epoch
     WHERE m.id = u.id AND m.state || '' = 'sending' AND NOT m.committing AND m.epoch = u.epoch
       AND ((SELECT NOT EXISTS (SELECT 1 FROM sender.stop WHERE resumed_at IS NULL))
            OR NOT sender.stopped(m, 'default'))
    RETURNING m.id
"""

# The same by a provider: also in which of its requests.
COMMIT_TO_PROVIDER = """
    UPDATE sender.message m
       SET committing = true, header_id = u.header_id, subject = u.subject, updated_at = $6,
           provider = u.provider, load_key = u.load_key, load_place = u.load_place,
           load_at = u.load_at
      FROM unnest($1::text[], $2::int[], $3::bigint[], $4::text[], $5::text[],
                  $7::text[], $8::text[], $9::int[], $10::timestamptz[])
           u(id, shard, epoch, header_id, subject, provider, load_key, load_place, load_at)
      JOIN (SELECT shard, epoch FROM sender.shard
             WHERE shard = ANY($2::int[]) ORDER BY shard FOR SHARE) s
        ON s.shard = u.shard AND s.epoch = u.epoch
     WHERE m.id = u.id AND m.state || '' = 'sending' AND NOT m.committing AND m.epoch = u.epoch
       AND ((SELECT NOT EXISTS (SELECT 1 FROM sender.stop WHERE resumed_at IS NULL))
            OR NOT sender.stopped(m, u.provider))
    RETURNING m.id
"""

SET_PROVIDER_IDS = """
    UPDATE sender.message m SET provider_message_id = u.provider_id
      FROM unnest($1::text[], $2::text[]) u(id, provider_id)
     WHERE m.id = u.id
"""

# Interrupted messages whose load is asked for again under a key: from now on they are ours.
TAKE_OVER = """
    UPDATE sender.message m SET epoch = u.new_epoch
      FROM unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[])
           u(id, shard, old_epoch, new_epoch)
      JOIN (SELECT shard, epoch FROM sender.shard
             WHERE shard = ANY($2::int[]) ORDER BY shard FOR SHARE) s
        ON s.shard = u.shard AND s.epoch = u.new_epoch
     WHERE m.id = u.id AND m.state || '' = 'sending' AND m.committing AND m.epoch = u.old_epoch
    RETURNING m.id
"""

STILL_SENDING = """
    SELECT m.id FROM sender.message m
      JOIN unnest($1::text[], $2::bigint[]) u(id, epoch) ON m.id = u.id AND m.epoch = u.epoch
     WHERE m.state || '' = 'sending' ORDER BY m.id FOR UPDATE OF m
"""

_ENDED = {
    "ended": """
        UPDATE sender.message m
           SET state = u.state, committing = false, reason = u.reason, detail = u.detail,
               next_attempt_at = coalesce(u.next_attempt_at, m.next_attempt_at),
               deadline = CASE WHEN u.state = 'scheduled' AND u.reason = 'quiet_hours'
                               THEN m.deadline + (u.next_attempt_at - {now}::timestamptz)
                               ELSE m.deadline END,
               accepted_at = CASE WHEN u.state = 'accepted' THEN {now} ELSE m.accepted_at END,
               subject = CASE WHEN m.address IS NOT NULL
                              THEN coalesce(u.subject, m.subject) END,
               attempts = m.attempts - u.untried::int,
               updated_at = {now}
          FROM unnest({ids}::text[], {epochs}::bigint[], {states}::text[], {reasons}::text[],
                      {details}::text[], {nexts}::timestamptz[], {subjects}::text[],
                      {untrieds}::bool[])
               u(id, epoch, state, reason, detail, next_attempt_at, subject, untried)
         WHERE m.id = u.id AND m.epoch = u.epoch AND m.state || '' = 'sending'""",
    "closed": """
        INSERT INTO sender.suppression AS was (workspace, address, scope, reason, at, source)
        SELECT workspace, address, '', 'bounced', {now}, message
          FROM unnest({b_workspaces}::text[], {b_addresses}::text[], {b_messages}::text[])
               u(workspace, address, message)
            ON CONFLICT (workspace, address, scope) DO UPDATE
               SET reason = excluded.reason, at = excluded.at, source = excluded.source
             WHERE was.reason IN ('unsubscribed', 'erased')""",
}

END = FencedStatement(SCHEMA, _ENDED)

# COMMIT_TO and END in one statement, for a group in which every ending is still awaited; where one
# is not, nothing is done at all, and the two must be done one after the other.
NOTE = FencedStatement(
    SCHEMA,
    {
        "free": """
            SELECT shard, epoch FROM sender.shard
             WHERE shard = ANY({c_shards}::int[]) AND shard <> ALL({f_shards}::int[])
             ORDER BY shard FOR SHARE""",
        "ours": """
            SELECT shard, epoch FROM free UNION ALL
            SELECT * FROM unnest({f_shards}::int[], {f_epochs}::bigint[])""",
        "committed": """
            UPDATE sender.message m
               SET committing = true, header_id = u.header_id, subject = u.subject,
                   updated_at = {now}
              FROM unnest({c_ids}::text[], {c_shards}::int[], {c_epochs}::bigint[],
                          {c_headers}::text[], {c_subjects}::text[])
                   u(id, shard, epoch, header_id, subject)
              JOIN ours s ON s.shard = u.shard AND s.epoch = u.epoch
             WHERE m.id = u.id AND m.state || '' = 'sending' AND NOT m.committing
               AND m.epoch = u.epoch
               AND ((SELECT NOT EXISTS (SELECT 1 FROM sender.stop WHERE resumed_at IS NULL))
                    OR NOT sender.stopped(m, 'default'))
            RETURNING m.id""",
        "ended": _ENDED["ended"] + " RETURNING 1",
        "closed": _ENDED["closed"],
    },
    answer="""
        (SELECT array_agg(id) FROM committed) AS committed,
        (SELECT CASE WHEN count(*) = cardinality({ids}::text[]) THEN true
                     ELSE ('only ' || count(*))::boolean END FROM ended) AS whole""",
)

# A message as the claim gives it, to whoever has to write it again.
_AGAIN = """
    SELECT m.id, m.shard, m.workspace, m.contact, m.enrollment, m.journey, m.version, m.step,
           m.template, m.message_class, m.test, m.epoch, m.address, m.locale, m.topic, m.attempts,
           m.asked_at, m.dated_at, m.snapshot, m.committing, m.header_id, m.provider, m.load_key,
           m.load_place, m.load_at, w.tracking, y.tracking_countries, y.tracking_refused
      FROM sender.message m
      LEFT JOIN sender.policy y ON y.workspace = m.workspace
      LEFT JOIN sender.contact_redirect r ON r.workspace = m.workspace AND r.contact = m.contact
      LEFT JOIN sender.permission w
             ON w.workspace = m.workspace AND w.contact = coalesce(r."into", m.contact)
"""

INTERRUPTED = f"{_AGAIN} WHERE m.state = 'sending' AND m.shard = ANY($1::int[])"

COMPANY = f"{_AGAIN} WHERE m.provider = $1 AND m.load_key = $2 ORDER BY m.load_place"

STANDING = """
    SELECT count(*) FILTER (WHERE state = 'sending') AS sending,
           count(*) FILTER (WHERE state <> 'sending' AND next_attempt_at <= $1) AS due,
           min(next_attempt_at) FILTER (WHERE state <> 'sending' AND next_attempt_at > $1) AS next
      FROM sender.message m
     WHERE state IN ('pending', 'scheduled', 'sending') AND NOT held
       AND (state = 'sending' OR NOT parked)
       AND (state = 'sending' OR NOT EXISTS (SELECT 1 FROM sender.stop WHERE resumed_at IS NULL)
            OR NOT sender.stopped(m, NULL))
"""

CAPTURE = """
    INSERT INTO sender.captured (message, workspace, captured_at, content)
    SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::bytea[])
        ON CONFLICT (message) DO NOTHING
"""
