-- Many jobs filed by one statement for all of them, where nothing stands against any.

SET LOCAL ROLE ppt_owner;

-- Files all of p_jobs as queue_submit would, or none: an error then, which need not say
-- whose. Their ids in the order of the array.
CREATE FUNCTION ppt.queue_submit_group(p_jobs json, p_token text) RETURNS bigint[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_ids bigint[];
BEGIN
    WITH want AS MATERIALIZED (
        SELECT w.name, w.account, w.dataset, w.spec, p_token || ':' || w.number AS token,
               w.number
        FROM ROWS FROM (json_to_recordset(p_jobs)
                        AS (name text, account text, dataset text, spec text))
             WITH ORDINALITY AS w(name, account, dataset, spec, number)
    ), own AS MATERIALIZED (  -- asked once an account
        SELECT a.id, a.path FROM ppt.account a
        WHERE a.path IN (SELECT account FROM want) AND ppt.is_member(a.id)
    ), filed AS (
        INSERT INTO ppt.job (name, account_id, dataset_id, spec, token)
            SELECT w.name, a.id, d.id, w.spec, w.token
            FROM want w
            JOIN own a ON a.path = w.account
            JOIN ppt.dataset d ON d.name = w.dataset
            ORDER BY w.number
            RETURNING id, token
    )
    SELECT array_agg(f.id ORDER BY w.number) INTO v_ids
        FROM filed f JOIN want w ON w.token = f.token;
    IF cardinality(v_ids) IS DISTINCT FROM json_array_length(p_jobs) THEN
        RAISE EXCEPTION USING ERRCODE = 'PB014',
            MESSAGE = 'not all of these jobs can be submitted';
    END IF;
    PERFORM pg_notify('ppt_queue', '');
    RETURN v_ids;
END $$;

-- As in 011, but all at once first. Now with the owner's rights, which queue_submit has
-- too: who submits is session_user in both.
CREATE OR REPLACE FUNCTION ppt.queue_submit_many(p_jobs json, p_token text,
                                                 p_after bigint[])
RETURNS TABLE (number int, id bigint, code int, message text, hint text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_ids   bigint[];
    v_state text;
    r       record;
BEGIN
    IF json_typeof(p_jobs) IS DISTINCT FROM 'array'
       OR json_array_length(p_jobs) NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION USING ERRCODE = 'PB014',
            MESSAGE = '1 to 1000 jobs are submitted at once';
    END IF;
    IF p_after IS NULL THEN
        BEGIN
            v_ids := ppt.queue_submit_group(p_jobs, p_token);
        EXCEPTION WHEN OTHERS THEN
            v_ids := NULL;  -- one was sent before, or cannot be filed: each for itself
        END;
    END IF;
    IF v_ids IS NOT NULL THEN
        RETURN QUERY SELECT i, v_ids[i], NULL::int, NULL::text, NULL::text
            FROM generate_subscripts(v_ids, 1) i;
        RETURN;
    END IF;
    FOR r IN SELECT j.value ->> 'name' AS name, j.value ->> 'account' AS account,
                    j.value ->> 'dataset' AS dataset, j.value ->> 'spec' AS spec,
                    p_token || ':' || j.ordinality AS token, j.ordinality
             FROM json_array_elements(p_jobs) WITH ORDINALITY j ORDER BY j.ordinality
    LOOP
        number := r.ordinality;
        code := NULL;
        message := NULL;
        hint := NULL;
        BEGIN
            id := CASE WHEN p_after IS NULL
                  THEN ppt.queue_submit(r.name, r.account, r.dataset, r.spec, r.token)
                  ELSE ppt.queue_submit_after(r.name, r.account, r.dataset, r.spec,
                                              r.token, p_after) END;
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS v_state = RETURNED_SQLSTATE,
                message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
            IF v_state NOT LIKE 'PB%' THEN  -- not the job's own trouble
                RAISE;
            END IF;
            id := NULL;
            code := substr(v_state, 3)::int;
        END;
        RETURN NEXT;
    END LOOP;
END $$;
