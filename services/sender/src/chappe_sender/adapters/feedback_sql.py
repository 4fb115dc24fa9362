"""What comes back, in SQL, whole."""

from chappe.shards import FencedStatement

SCHEMA = "sender"

# Before the batch that read them is committed, in the same transaction; repeats are the same row.
TAKE_IN = """
    INSERT INTO sender.feedback_delivery
           (id, shard, kind, endpoint, received_at, received_wall, headers, body, next_at)
    SELECT id, shard, kind, endpoint, received_at, received_wall, headers::jsonb, body, $9
      FROM unnest($1::text[], $2::int[], $3::text[], $4::text[], $5::timestamptz[],
                  $6::timestamptz[], $7::text[], $8::bytea[])
           u(id, shard, kind, endpoint, received_at, received_wall, headers, body)
        ON CONFLICT (id) DO NOTHING
"""

# Of opens and clicks only those that settle a doubt, or speak for an address that bounced.
TELLING = """
    SELECT m.id FROM sender.message m
      LEFT JOIN sender.address_health h
             ON h.workspace = m.workspace AND h.address = m.address_key
     WHERE m.id = ANY($1::text[]) AND (m.state = 'in_doubt' OR h.address IS NOT NULL)
"""

DUE = """
    SELECT id, shard, kind, endpoint, received_at, received_wall, headers::text AS headers, body,
           attempts
      FROM sender.feedback_delivery
     WHERE state = 'new' AND shard = ANY($1::int[]) AND next_at <= $2
     ORDER BY received_wall, id LIMIT $3
"""

PLACE = "SELECT shard, state FROM sender.message WHERE workspace = $1 AND id = $2"

WAITING = "SELECT count(*) FROM sender.feedback_delivery WHERE state = 'new' AND next_at <= $1"

ENDPOINTS = """
    SELECT id, workspace, kind, secret, topic, state FROM sender.feedback_endpoint
     WHERE id = ANY($1::text[])
"""

PIN = """
    UPDATE sender.feedback_endpoint SET topic = $2
     WHERE id = $1 AND (topic IS NULL OR topic = $2) RETURNING id
"""

POSTPONE = """
    UPDATE sender.feedback_delivery SET attempts = attempts + 1, next_at = $2, reason = $3
     WHERE id = $1 AND state = 'new'
"""

WAIT = """
    UPDATE sender.feedback_delivery d SET state = 'waiting', reason = 'no_secret'
     WHERE d.id = $1
       AND (SELECT count(*) FROM sender.feedback_delivery w
             WHERE w.endpoint = $2 AND w.state = 'waiting') < $3
    RETURNING d.id
"""

RELEASE = """
    UPDATE sender.feedback_delivery SET state = 'new', next_at = $2, reason = NULL
     WHERE endpoint = $1 AND state = 'waiting'
"""

KNOWN = """
    SELECT id, workspace, address_key, state, provider_message_id FROM sender.message
     WHERE id = ANY($1::text[])
        OR provider_message_id = ANY($2::text[]) AND provider_message_id IS NOT NULL
"""

ROWS = """
    SELECT id, shard, workspace, contact, enrollment, journey, version, step, template,
           message_class, test, state, attempts, address_key, topic
      FROM sender.message WHERE id = ANY($1::text[]) ORDER BY id FOR UPDATE
"""

KEYS = """
    SELECT workspace, key FROM sender.feedback
      JOIN unnest($1::text[], $2::text[]) u(workspace, key) USING (workspace, key)
"""

HEALTH = """
    SELECT workspace, address, soft, soft_since, full_count, full_since, bad_since
      FROM sender.address_health
      JOIN unnest($1::text[], $2::text[]) u(workspace, address) USING (workspace, address)
"""

# The window is whole hours: this one and those that began within the policy's minutes.
SITE_HOURS = """
    SELECT workspace, site, sum(delivered)::bigint AS delivered, sum(hard)::bigint AS hard
      FROM sender.site_hour s
      JOIN unnest($1::text[], $2::text[], $3::timestamptz[]) u(workspace, site, since)
     USING (workspace, site)
     WHERE s.hour >= u.since GROUP BY workspace, site
"""

POLICIES = "SELECT workspace, body::text FROM sender.feedback_policy WHERE workspace = ANY($1)"

SAVE_POLICY = """
    INSERT INTO sender.feedback_policy (workspace, body, updated_at) VALUES ($1, $2::jsonb, $3)
        ON CONFLICT (workspace) DO UPDATE SET body = excluded.body, updated_at = excluded.updated_at
"""

APPLY = FencedStatement(
    SCHEMA,
    {
        "moved": """
            UPDATE sender.message m
               SET state = u.state, committing = false, reason = u.reason, detail = u.detail,
                   next_attempt_at = CASE WHEN u.again THEN {now} ELSE m.next_attempt_at END,
                   accepted_at = CASE WHEN u.state IN ('accepted', 'delivered', 'bounced')
                                      THEN coalesce(m.accepted_at, {now}) ELSE m.accepted_at END,
                   updated_at = {now}
              FROM unnest({m_ids}::text[], {m_states}::text[], {m_reasons}::text[],
                          {m_details}::text[], {m_agains}::bool[], {m_was}::text[])
                   u(id, state, reason, detail, again, was)
             WHERE m.id = u.id AND m.state = u.was""",
        "heard": """
            INSERT INTO sender.feedback
                   (workspace, key, message, kind, bounce_class, permanent, provider, recipient,
                    reason, machine, effect, delivery, occurred_at, heard_at)
            SELECT workspace, key, message, kind, bounce_class, permanent, provider, recipient,
                   reason, machine, effect, delivery, occurred_at, {wall}
              FROM unnest({h_workspaces}::text[], {h_keys}::text[], {h_messages}::text[],
                          {h_kinds}::text[], {h_classes}::text[], {h_permanents}::bool[],
                          {h_providers}::text[], {h_recipients}::text[], {h_reasons}::text[],
                          {h_machines}::bool[], {h_effects}::text[], {h_deliveries}::text[],
                          {h_ats}::timestamptz[])
                   u(workspace, key, message, kind, bounce_class, permanent, provider, recipient,
                     reason, machine, effect, delivery, occurred_at)
                ON CONFLICT (workspace, key) DO NOTHING""",
        "healthy": """
            INSERT INTO sender.address_health AS was
                   (workspace, address, soft, soft_since, full_count, full_since, bad_since,
                    updated_at)
            SELECT workspace, address, soft, soft_since, full_count, full_since, bad_since, {now}
              FROM unnest({a_workspaces}::text[], {a_addresses}::text[], {a_softs}::int[],
                          {a_soft_sinces}::timestamptz[], {a_fulls}::int[],
                          {a_full_sinces}::timestamptz[], {a_bad_sinces}::timestamptz[])
                   u(workspace, address, soft, soft_since, full_count, full_since, bad_since)
                ON CONFLICT (workspace, address) DO UPDATE
                   SET soft = excluded.soft, soft_since = excluded.soft_since,
                       full_count = excluded.full_count, full_since = excluded.full_since,
                       bad_since = excluded.bad_since, updated_at = excluded.updated_at""",
        "recovered": """
            DELETE FROM sender.address_health h
             USING unnest({r_workspaces}::text[], {r_addresses}::text[]) u(workspace, address)
             WHERE h.workspace = u.workspace AND h.address = u.address""",
        "counted": """
            INSERT INTO sender.site_hour AS was (workspace, site, hour, delivered, hard)
            SELECT workspace, site, date_trunc('hour', {now}::timestamptz), delivered, hard
              FROM unnest({s_workspaces}::text[], {s_sites}::text[], {s_delivered}::bigint[],
                          {s_hard}::bigint[]) u(workspace, site, delivered, hard)
                ON CONFLICT (workspace, site, hour) DO UPDATE
                   SET delivered = was.delivered + excluded.delivered,
                       hard = was.hard + excluded.hard""",
        # What closes an address for every mail is never weakened; a hand-over's own bounce learns
        # its site here.
        "closed": """
            INSERT INTO sender.suppression AS was
                   (workspace, address, scope, reason, at, source, site, bounce_class, detail)
            SELECT workspace, address, '', reason, {now}, source, site, bounce_class, detail
              FROM unnest({c_workspaces}::text[], {c_addresses}::text[], {c_reasons}::text[],
                          {c_sources}::text[], {c_sites}::text[], {c_classes}::text[],
                          {c_details}::text[])
                   u(workspace, address, reason, source, site, bounce_class, detail)
                ON CONFLICT (workspace, address, scope) DO UPDATE
                   SET reason = excluded.reason, at = excluded.at, source = excluded.source,
                       site = excluded.site, bounce_class = excluded.bounce_class,
                       detail = excluded.detail
                 WHERE was.reason IN ('unsubscribed', 'erased')
                       AND excluded.reason <> 'unsubscribed'
                    OR was.reason = 'bounced' AND was.site IS NULL
                       AND excluded.reason IN ('bounced', 'quarantined')
                    OR was.reason IN ('bounced', 'quarantined')
                       AND excluded.reason = 'complained'""",
        "quarantined": """
            UPDATE sender.suppression s SET reason = 'quarantined'
              FROM unnest({q_workspaces}::text[], {q_sites}::text[], {q_sinces}::timestamptz[])
                   u(workspace, site, since)
             WHERE s.workspace = u.workspace AND s.site = u.site AND s.at >= u.since
               AND s.scope = '' AND s.reason = 'bounced'
               AND NOT (s.workspace || ' ' || s.address = ANY({q_except}::text[]))""",
        "endpoints": """
            UPDATE sender.feedback_endpoint e
               SET accepted = e.accepted + u.accepted, refused = e.refused + u.refused,
                   accepted_at = CASE WHEN u.accepted > 0 THEN {wall} ELSE e.accepted_at END,
                   refused_at = CASE WHEN u.refused > 0 THEN {wall} ELSE e.refused_at END,
                   refused_reason = CASE WHEN u.refused > 0 THEN u.reason
                                         ELSE e.refused_reason END
              FROM unnest({e_ids}::text[], {e_accepted}::bigint[], {e_refused}::bigint[],
                          {e_reasons}::text[]) u(id, accepted, refused, reason)
             WHERE e.id = u.id""",
        "kept": """
            UPDATE sender.feedback_delivery d SET state = 'done'
             WHERE d.id = ANY({d_kept}::text[])""",
        "dropped": """
            DELETE FROM sender.feedback_delivery d WHERE d.id = ANY({d_dropped}::text[])""",
    },
)

# -- housekeeping: each bounded, and run again soon ------------------------------------------

FORGET_DELIVERIES = """
    DELETE FROM sender.feedback_delivery WHERE id IN (
        SELECT id FROM sender.feedback_delivery WHERE state <> 'new' AND received_wall < $1
         ORDER BY received_wall LIMIT 10000)
"""

# The oldest beyond what is kept at most.
BOUND_DELIVERIES = """
    DELETE FROM sender.feedback_delivery WHERE id IN (
        SELECT id FROM sender.feedback_delivery WHERE state <> 'new'
         ORDER BY received_wall DESC OFFSET $1 LIMIT 10000)
"""

# What went well is kept for as long as a repeat of it may come; what failed, for people to read.
FORGET_FEEDBACK = """
    DELETE FROM sender.feedback WHERE (workspace, key) IN (
        SELECT workspace, key FROM sender.feedback
         WHERE heard_at < $1
           AND (heard_at < $2
                OR kind IN ('accepted', 'delivered', 'deferred', 'opened', 'clicked', 'other'))
         ORDER BY heard_at LIMIT 50000)
"""

FORGET_SITES = "DELETE FROM sender.site_hour WHERE hour < $1"

RELEASE_QUARANTINED = """
    DELETE FROM sender.suppression s
     WHERE s.reason = 'quarantined'
       AND s.at < $1::timestamptz - make_interval(hours => coalesce(
               (SELECT (p.body->>'quarantine_hours')::int FROM sender.feedback_policy p
                 WHERE p.workspace = s.workspace), $2))
"""
