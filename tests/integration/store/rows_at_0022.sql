-- A small cluster as a coordinator of schema 0022 left it: one node with two GPUs; job 1 is over, 2 runs on a GPU,
-- of job 3 one task was sent ahead to the node and one waits. GPUs are counted whole here.
-- No trigger looks on: rows come here as they ended up, not on the way that they took.
set session_replication_role = replica;

insert into corral.nodes (
    id, name, hostname, ip, health, cpu_cores, cpu_model, gpu_mem_mib, architecture, os_version, kernel_version, labels,
    capabilities, inventory, tools, last_heartbeat_at)
values (
    'b44999cc-972d-4fba-9e5f-d562f52f0b5f', 'n1', 'n1', '10.0.0.1', 'healthy', 8, 'any', 163840, 'x86_64', 'Linux',
    '6.1', '{"zone": "a"}', '{"runtimes": {}, "isolation": {}}',
    '{"ip": "10.0.0.1", "gpus": [
        {"uuid": "GPU-1", "model": "NVIDIA A100", "healthy": true, "mem_mib": 81920},
        {"uuid": "GPU-2", "model": "NVIDIA A100", "healthy": true, "mem_mib": 81920}],
      "disks": [], "mem_mib": 0, "hostname": "n1", "runtimes": {}, "cpu_cores": 8, "cpu_model": "any",
      "isolation": {}, "interfaces": [], "os_version": "Linux", "architecture": "x86_64", "kernel_version": "6.1"}',
    '{wordcount}', '2025-06-15 15:06:40+00');
insert into corral.agents (id, node_id, status, version, incarnation, boot_id, last_seen_at)
values ('n1', 'b44999cc-972d-4fba-9e5f-d562f52f0b5f', 'active', '0.2.0', 'i1', 'b1', '2025-06-15 15:06:40+00');
insert into corral.gpus (node_id, uuid, model, mem_mib, healthy) values
    ('b44999cc-972d-4fba-9e5f-d562f52f0b5f', 'GPU-1', 'NVIDIA A100', 81920, true),
    ('b44999cc-972d-4fba-9e5f-d562f52f0b5f', 'GPU-2', 'NVIDIA A100', 81920, true);
insert into corral.node_resources (node_id, resource, total, allocated) values
    ('b44999cc-972d-4fba-9e5f-d562f52f0b5f', 'cpu', 8000, 1000),
    ('b44999cc-972d-4fba-9e5f-d562f52f0b5f', 'memory', 16384, 64),
    ('b44999cc-972d-4fba-9e5f-d562f52f0b5f', 'gpu', 2, 1),
    ('b44999cc-972d-4fba-9e5f-d562f52f0b5f', 'storage', 0, 0),
    ('b44999cc-972d-4fba-9e5f-d562f52f0b5f', 'network', 0, 0);

insert into corral.users (id, username, role) values ('01a20389-fb58-79d2-a30a-a32350b5fe7d', 'alice', 'user');
insert into corral.jobs (
    id, number, user_id, name, kind, priority, spec, digest, total, pending, queued, assigned, running, completed,
    exit_code, created_at, started_at, ended_at)
values
    ('f105a4f5-899c-47d5-ae33-afc7eb9bed53', 1, '01a20389-fb58-79d2-a30a-a32350b5fe7d', 'over', 'batch', 5,
     '{"command": ["true"], "resources": {"cpu": 1000, "gpu": 1, "memory": 64}}', '\x64', 1, 0, 0, 0, 0, 1, 0,
     '2025-06-15 15:06:40+00', '2025-06-15 15:06:42+00', '2025-06-15 15:06:48+00'),
    ('ad43be11-4221-4758-a29f-a87953732903', 2, '01a20389-fb58-79d2-a30a-a32350b5fe7d', 'runs', 'batch', 5,
     '{"command": ["true"], "resources": {"cpu": 1000, "gpu": 1, "memory": 64}}', '\x65', 1, 0, 0, 0, 1, 0, null,
     '2025-06-15 15:06:40+00', '2025-06-15 15:06:43+00', null),
    ('db28a34c-31af-4c2d-b95e-290585fdd990', 3, '01a20389-fb58-79d2-a30a-a32350b5fe7d', 'waits', 'batch', 5,
     '{"command": ["true"]}', '\x66', 2, 0, 1, 1, 0, 0, null, '2025-06-15 15:06:40+00', null, null);
insert into corral.tasks (
    id, job_id, index, group_name, type, input, priority, cpu_millis, mem_mib, gpus, state, version, node_id, fence,
    max_retries, exit_code, created_at, updated_at, started_at, completed_at)
values
    ('9890c86d-28ad-4d92-a3cf-ee74497d47fe', 'f105a4f5-899c-47d5-ae33-afc7eb9bed53', 0, 'main', 'shell', '{"i": 0}', 5,
     1000, 64, 1, 'completed', 4, 'b44999cc-972d-4fba-9e5f-d562f52f0b5f', 1, 3, 0, '2025-06-15 15:06:40+00',
     '2025-06-15 15:06:44+00', '2025-06-15 15:06:42+00', '2025-06-15 15:06:48+00'),
    ('0bb7743d-bc6b-466d-8397-10c5e2bfc15f', 'ad43be11-4221-4758-a29f-a87953732903', 0, 'main', 'shell', '{"i": 0}', 5,
     1000, 64, 1, 'running', 3, 'b44999cc-972d-4fba-9e5f-d562f52f0b5f', 1, 3, null, '2025-06-15 15:06:40+00',
     '2025-06-15 15:06:43+00', '2025-06-15 15:06:43+00', null),
    ('96da182c-d0a4-48c0-a835-bb0febf0d85a', 'db28a34c-31af-4c2d-b95e-290585fdd990', 0, 'main', 'shell', '{"i": 0}', 5,
     1000, 64, 0, 'assigned', 2, 'b44999cc-972d-4fba-9e5f-d562f52f0b5f', 1, 3, null, '2025-06-15 15:06:40+00',
     '2025-06-15 15:06:42+00', null, null),
    ('4d9f8506-43de-4a51-8a8f-73c785f710e2', 'db28a34c-31af-4c2d-b95e-290585fdd990', 1, 'main', 'shell', '{"i": 0}', 5,
     1000, 64, 0, 'queued', 1, null, 0, 3, null, '2025-06-15 15:06:40+00', '2025-06-15 15:06:41+00', null, null);
insert into corral.task_events (task_id, version, step, at, old_state, new_state, node_id, fence) values
    ('9890c86d-28ad-4d92-a3cf-ee74497d47fe', 2, 1, '2025-06-15 15:06:42+00', 'queued', 'assigned',
     'b44999cc-972d-4fba-9e5f-d562f52f0b5f', 1),
    ('9890c86d-28ad-4d92-a3cf-ee74497d47fe', 4, 1, '2025-06-15 15:06:44+00', 'assigned', 'running',
     'b44999cc-972d-4fba-9e5f-d562f52f0b5f', 1),
    ('9890c86d-28ad-4d92-a3cf-ee74497d47fe', 4, 2, '2025-06-15 15:06:44+00', 'running', 'completed',
     'b44999cc-972d-4fba-9e5f-d562f52f0b5f', 1),
    ('0bb7743d-bc6b-466d-8397-10c5e2bfc15f', 2, 1, '2025-06-15 15:06:42+00', 'queued', 'assigned',
     'b44999cc-972d-4fba-9e5f-d562f52f0b5f', 1),
    ('0bb7743d-bc6b-466d-8397-10c5e2bfc15f', 3, 1, '2025-06-15 15:06:43+00', 'assigned', 'running',
     'b44999cc-972d-4fba-9e5f-d562f52f0b5f', 1),
    ('96da182c-d0a4-48c0-a835-bb0febf0d85a', 2, 1, '2025-06-15 15:06:42+00', 'queued', 'assigned',
     'b44999cc-972d-4fba-9e5f-d562f52f0b5f', 1);
insert into corral.attempts (
    task_id, rank, fence, node_id, node_name, state, waiting, cpu_millis, mem_mib, gpus, holding, gpu_uuids,
    explanation, exit_code, assigned_at, started_at, ended_at)
values
    ('9890c86d-28ad-4d92-a3cf-ee74497d47fe', 0, 1, 'b44999cc-972d-4fba-9e5f-d562f52f0b5f', 'n1', 'completed', false,
     1000, 64, 1, false, '{GPU-1}',
     '{"rank": "best_fit", "order": "fcfs", "feasible": 2, "rejected": {"n3": ["busy:cpu"]},
       "candidates": [["n1", 0.25], ["n2", 0.5]]}',
     0, '2025-06-15 15:06:41+00', '2025-06-15 15:06:42+00', '2025-06-15 15:06:48+00'),
    ('0bb7743d-bc6b-466d-8397-10c5e2bfc15f', 0, 1, 'b44999cc-972d-4fba-9e5f-d562f52f0b5f', 'n1', 'running', false,
     1000, 64, 1, true, '{GPU-2}',
     '{"rank": "best_fit", "order": "fcfs", "feasible": 1, "rejected": {}, "candidates": [["n1", 0.25]]}',
     null, '2025-06-15 15:06:41+00', '2025-06-15 15:06:43+00', null),
    ('96da182c-d0a4-48c0-a835-bb0febf0d85a', 0, 1, 'b44999cc-972d-4fba-9e5f-d562f52f0b5f', 'n1', 'assigned', true,
     1000, 64, 0, false, '{}', '{"rank": "prefill", "order": "fcfs", "pace_per_s": 3.2}',
     null, '2025-06-15 15:06:41+00', null, null);
insert into corral.allocations (task_id, rank, fence, resource, node_id, amount, status, allocated_at, released_at) values
    ('9890c86d-28ad-4d92-a3cf-ee74497d47fe', 0, 1, 'cpu', 'b44999cc-972d-4fba-9e5f-d562f52f0b5f', 1000, 'released',
     '2025-06-15 15:06:41+00', '2025-06-15 15:06:48+00'),
    ('9890c86d-28ad-4d92-a3cf-ee74497d47fe', 0, 1, 'memory', 'b44999cc-972d-4fba-9e5f-d562f52f0b5f', 64, 'released',
     '2025-06-15 15:06:41+00', '2025-06-15 15:06:48+00'),
    ('9890c86d-28ad-4d92-a3cf-ee74497d47fe', 0, 1, 'gpu', 'b44999cc-972d-4fba-9e5f-d562f52f0b5f', 1, 'released',
     '2025-06-15 15:06:41+00', '2025-06-15 15:06:48+00'),
    ('0bb7743d-bc6b-466d-8397-10c5e2bfc15f', 0, 1, 'cpu', 'b44999cc-972d-4fba-9e5f-d562f52f0b5f', 1000, 'active',
     '2025-06-15 15:06:41+00', null),
    ('0bb7743d-bc6b-466d-8397-10c5e2bfc15f', 0, 1, 'memory', 'b44999cc-972d-4fba-9e5f-d562f52f0b5f', 64, 'active',
     '2025-06-15 15:06:41+00', null),
    ('0bb7743d-bc6b-466d-8397-10c5e2bfc15f', 0, 1, 'gpu', 'b44999cc-972d-4fba-9e5f-d562f52f0b5f', 1, 'active',
     '2025-06-15 15:06:41+00', null);

set session_replication_role = origin;
