# The tight accountants, which report plans; the ledger needs none of them.
target_sources(ppt_privacy PRIVATE fft.c normal.c gdp.c atoms.c pair.c mixture.c truncated.c
    pmf.c profile.c compose.c pld.c falling.c mean_law.c balls_in_bins.c fixed_order.c schedule.c)
# Long plain loops over doubles: worth the vectoriser.
set_source_files_properties(fft.c mean_law.c PROPERTIES COMPILE_OPTIONS -O3)
