# Written by `python -m tests.stubs` from the names in __init__.py.
from .faults import FAULTS as FAULTS
from .faults import REMEDIES as REMEDIES
from .faults import find_faults as find_faults
from .faults import repair_proposals as repair_proposals
from .formats import ProposalFormat as ProposalFormat
from .formats import WrittenFormat as WrittenFormat
from .formats import read_proposals as read_proposals
from .formats import write_proposals as write_proposals
from .proposal_files import BoxConvention as BoxConvention
from .proposal_files import ProposalFile as ProposalFile
from .proposal_files import check_convention as check_convention
from .proposal_files import match_proposals as match_proposals
