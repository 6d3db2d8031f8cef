-- Currency gaussian: what a pot may hold where only Gaussians over all records are run.
--
-- Such releases with sensitivity over noise m_1, m_2, ... are together exactly as private
-- as one with mu^2 = m_1^2 + m_2^2 + ... (Dong, Roth, Su 2022), also where each is chosen
-- after seeing the last, as long as the sum stays within a cap that was fixed before
-- (Smith, Thakurta 2022; Koskela, Tobaben, Honkela 2022). One number needs no order to
-- stand on, so the whole delta counts: the cap admits more than the curve's caps do.

SET LOCAL ROLE ppt_owner;

-- All in numeric with 200 places: P(X > y) is as small as 1e-73 in the range below and
-- comes out of a difference from 1/2, so about 120 places of it are good. (PostgreSQL 15
-- has no erf.)

-- P(X > x) of a standard normal X, x >= 0: 1/2 - phi(x) (x + x^3/3 + x^5/15 + ...).
-- From 25 on, 0: below the truth by less than 1e-136, when no delta is below 1e-30.
CREATE FUNCTION ppt.normal_tail(p_x numeric) RETURNS numeric
LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_square numeric := round(p_x * p_x, 200);
    v_term   numeric := round(p_x, 200);
    v_sum    numeric := v_term;
    v_k      int := 1;
    -- 1 / sqrt(2 pi)
    v_phi0   numeric := ('0.39894228040143267793994605993438186847585863116493465766592582967065'
               || '7925899301838501252333907306936430302558862635182685510991954555837242'
               || '996212730625507706345270582720499317564516')::numeric;
BEGIN
    IF p_x > 25 THEN
        RETURN 0;
    END IF;
    WHILE v_term > 1e-160 LOOP
        v_k := v_k + 2;
        v_term := round(v_term * v_square / v_k, 200);
        v_sum := v_sum + v_term;
    END LOOP;
    RETURN 0.5 - round(v_phi0 * exp(-v_square / 2) * v_sum, 200);
END $$;

-- The delta of one Gaussian release of this mu at epsilon (Balle, Wang 2018, theorem 8).
CREATE FUNCTION ppt.gaussian_delta(p_mu numeric, p_epsilon numeric) RETURNS numeric
LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_x    numeric := round(p_epsilon, 200) / p_mu - p_mu / 2;
    v_tail numeric;
BEGIN
    v_tail := ppt.normal_tail(abs(v_x));
    IF v_x < 0 THEN
        v_tail := 1 - v_tail;
    END IF;
    RETURN v_tail - exp(round(p_epsilon, 200)) * ppt.normal_tail(v_x + p_mu);
END $$;

-- The largest mu^2 that keeps (epsilon, delta), in 2^-40, rounded down; -1 where there is
-- none. Never above the exact value: epsilon and delta are first lowered by more than
-- their conversion from a double can raise them (15 digits), of the bisection's two ends
-- the one that was seen to keep delta is taken, and the last rounding is down. At most
-- 1e-8 of it is lost that way.
CREATE FUNCTION ppt.gaussian_cap(p_epsilon float8, p_delta float8) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_epsilon numeric := p_epsilon::numeric * (1 - 1e-14);
    v_delta   numeric := p_delta::numeric * (1 - 1e-14);
    v_low     numeric := 1;
    v_high    numeric := 1;
    v_middle  numeric;
BEGIN
    IF p_epsilon > 100 THEN
        RAISE EXCEPTION USING ERRCODE = 'PB014',
            MESSAGE = format('epsilon %s is above 100, the most that a limit in currency '
                             'gaussian may state', p_epsilon);
    END IF;
    WHILE ppt.gaussian_delta(v_high, v_epsilon) <= v_delta LOOP
        v_low := v_high;
        v_high := 2 * v_high;
    END LOOP;
    WHILE ppt.gaussian_delta(v_low, v_epsilon) > v_delta LOOP
        v_high := v_low;
        v_low := v_low / 2;
        IF v_low < 1e-6 THEN
            RETURN -1;
        END IF;
    END LOOP;
    WHILE v_high - v_low > 2e-9 * v_low LOOP
        v_middle := round((v_low + v_high) / 2, 20);
        IF ppt.gaussian_delta(v_middle, v_epsilon) <= v_delta THEN
            v_low := v_middle;
        ELSE
            v_high := v_middle;
        END IF;
    END LOOP;
    RETURN floor(v_low * v_low * 1099511627776)::bigint;
END $$;
