-- Many jobs filed by one statement, each for itself: one connection, one answer and one
-- flush of the log for all, where one job at a time costs one each.

SET LOCAL ROLE ppt_owner;

-- p_jobs is an array of objects with name, account, dataset and spec; p_after, of all of
-- them, may be null. Hands back a row a job in the order of the array: its id, or the
-- exit status and the words of what stands against it; that job leaves no trace and the
-- others stand. Sent again with the same token: the same jobs and no second ones.
CREATE FUNCTION ppt.queue_submit_many(p_jobs json, p_token text, p_after bigint[])
RETURNS TABLE (number int, id bigint, code int, message text, hint text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_state text;
    r       record;
BEGIN
    IF json_typeof(p_jobs) IS DISTINCT FROM 'array'
       OR json_array_length(p_jobs) NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION USING ERRCODE = 'PB014',
            MESSAGE = '1 to 1000 jobs are submitted at once';
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
GRANT EXECUTE ON FUNCTION ppt.queue_submit_many(json, text, bigint[]) TO ppt_submitter;
