"""What a rank of a gang finds in its environment: what `torch.distributed`'s `env://`, JAX and MPI expect."""

from __future__ import annotations

import socket

from bus.values import Meeting


def free_port() -> int:
    """A TCP port that nobody has now. It is not kept: whoever takes it before rank 0 does makes that fail."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
    return port


def rank_environment(rank: int, meeting: Meeting) -> dict[str, str]:
    """Of global rank `rank`. `CORRAL_GANG_HOSTS` becomes the file that `CORRAL_GANG_HOSTFILE` names."""
    place, local = _place_of(rank, meeting)
    size = sum(slots for _, slots in meeting.hosts)
    return {
        "RANK": str(rank),
        "WORLD_SIZE": str(size),
        "LOCAL_RANK": str(local),
        "LOCAL_WORLD_SIZE": str(meeting.hosts[place][1]),
        "NODE_RANK": str(place),
        "GROUP_RANK": str(place),
        "MASTER_ADDR": meeting.address,
        "MASTER_PORT": str(meeting.port),
        "CORRAL_RANK": str(rank),
        "CORRAL_GANG_SIZE": str(size),
        "CORRAL_GANG_HOSTS": ",".join(f"{host} slots={slots}" for host, slots in meeting.hosts),
    }


def _place_of(rank: int, meeting: Meeting) -> tuple[int, int]:
    """Which node of the gang has it, and which of that node's ranks it is. Raises ValueError: none has."""
    first = 0
    for place, (_, slots) in enumerate(meeting.hosts):
        if rank < first + slots:
            return place, rank - first
        first += slots
    raise ValueError(f"no node of the gang has rank {rank}")
