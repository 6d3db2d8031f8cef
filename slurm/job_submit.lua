-- ppt's part of Slurm's submit filter: jobs that ask for a protected partition or
-- licence must carry the admission token that ppt-schedd gives to the jobs it has
-- priced. For Slurm 22.05; slurm/README.md says how to set it up.
--
-- It runs inside slurmctld under its locks, one job at a time, so it reads one small
-- file when it is loaded, and then neither files nor databases nor programs. What it
-- checks is form, user, job name and expiry. Anybody can write a token of good form: the
-- signature is checked by ppt-prolog.sh on the node, before anything of the job runs.

-- The same file on the controller and on all nodes. After changing it, touch this script:
-- slurmctld then reads both again.
local config_path = "/etc/ppt/protect.conf"

-- Lines "partition NAME" and "license NAME"; the prolog's own keys are left alone.
-- Refuses to load where the file is wrong: slurmctld then does not start, or goes on with
-- what it had.
local function read_config(path)
    local file, why = io.open(path, "r")
    if not file then
        error("ppt: cannot read the list of what is protected: " .. why)
    end
    local config = {partition = {}, license = {}}
    for line in file:lines() do
        line = line:gsub("#.*", ""):gsub("%s+$", ""):gsub("^%s+", "")
        local key, value = line:match("^(%S+)%s+(%S+)$")
        if line ~= "" and not key then
            error("ppt: " .. path .. ": expected a key and a value, found \"" .. line .. "\"")
        end
        if config[key] then
            config[key][value] = true
        end
    end
    file:close()
    return config
end

local config = read_config(config_path)

-- The first protected partition of a list such as "a,b", or nil.
local function protected_partition(list)
    for name in (list or ""):gmatch("[^,]+") do
        if config.partition[name] then
            return "partition " .. name
        end
    end
end

-- The first protected licence of a list such as "a:2,b@server:1", or nil.
local function protected_license(list)
    for name in (list or ""):gmatch("[^,;|]+") do
        name = name:match("^[%s+]*([^:@*]+)")
        if name and config.license[name] then
            return "licence " .. name
        end
    end
end

local function protected(partitions, licenses)
    return protected_partition(partitions) or protected_license(licenses)
end

-- Where a job goes that names no partition.
local function default_partition(partitions)
    for name, partition in pairs(partitions) do
        if partition.flag_default == 1 then
            return name
        end
    end
end

-- Why the token is not this job's, or nil.
local function fault(token, uid, name, now)
    if not token or token == "" then
        return "the job has no admission token"
    end
    local token_uid, expires, token_name, signature =
        token:match("^ppt1:%d+:%d+:(%d+):(%d+):([%w._%-]+):(%x+)$")
    if not token_uid or #signature ~= 128 then
        return "its comment is not an admission token"
    end
    if tonumber(token_uid) ~= uid then
        return "its admission token is for user id " .. token_uid .. ", not " .. uid
    end
    if token_name ~= name then
        return "its admission token is for a job named " .. token_name .. ", not " ..
            tostring(name)
    end
    if now > tonumber(expires) then
        return "its admission token expired " .. now - tonumber(expires) .. " s ago"
    end
end

-- Slurm passes words on at a submission only (say). At a change the user sees "Access/
-- permission denied", and the controller's log says why.
local function refuse(what, why)
    slurm.log_info("ppt: refused: %s: %s", what, why)
    return slurm.ESLURM_ACCESS_DENIED
end

local function say(what, why)
    slurm.log_user("%s", "ppt: " .. what .. " takes only jobs whose privacy cost is " ..
        "paid for, and " .. why .. ".\nHand in the job with ppt-submit job.yaml (see " ..
        "ppt-submit(1)), which prices it and passes it to Slurm.")
end

function slurm_job_submit(job, partitions, submit_uid)
    local what = protected(job.partition or default_partition(partitions), job.licenses)
    if not what then
        return slurm.SUCCESS
    end
    local uid = job.user_id
    if not uid or uid >= 4294967294 then -- not set: who hands it in
        uid = submit_uid
    end
    local why = fault(job.comment, uid, job.name, os.time())
    if why then
        say(what, why)
        return refuse(what, why)
    end
    return slurm.SUCCESS
end

-- A job may come to no protected thing by a change, and one that has a token keeps what
-- the token was checked against. Slurm's own root may do all.
function slurm_job_modify(change, job, _, modify_uid)
    local function changes(key)
        return change[key] ~= nil and change[key] ~= job[key]
    end
    if modify_uid == 0 then
        return slurm.SUCCESS
    end
    local what = protected(change.partition, change.licenses) or
        protected(job.partition, job.licenses)
    if not what then
        return slurm.SUCCESS
    end
    for _, key in ipairs({"partition", "licenses", "name", "comment"}) do
        if changes(key) then
            return refuse(what, "its " .. key .. " cannot be changed once it is handed in")
        end
    end
    return slurm.SUCCESS
end

slurm.log_info("ppt: protects what %s lists", config_path)
return slurm.SUCCESS
