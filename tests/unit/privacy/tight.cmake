# Tests of the tight accountants.
foreach(test check_fft check_gdp check_pair check_pld
        check_balls_in_bins check_fixed_order check_black_box check_truncated)
    ppt_test(${test} SOURCES ${test}.c rows.c LIBS ppt_privacy TIMEOUT 600)
endforeach()

# Development only: FFTW is no part of the product.
pkg_check_modules(FFTW_LONG IMPORTED_TARGET fftw3l)
if(FFTW_LONG_FOUND)
    ppt_test(check_fft_fftw SOURCES check_fft_fftw.c LIBS ppt_privacy
        PkgConfig::FFTW_LONG LABELS dev)
else()
    ppt_script_test(check_fft_fftw COMMAND sh -c "exit 77" LABELS dev)
endif()

# PPT_PYTHON as for compare_dp_accounting.
add_executable(pld_points pld_points.c)
target_link_libraries(pld_points PRIVATE ppt_privacy ppt_base m)
ppt_script_test(compare_pld
    COMMAND sh ${PROJECT_SOURCE_DIR}/tests/dev/python.sh
        ${PROJECT_SOURCE_DIR}/tests/dev/compare_pld.py
        $<TARGET_FILE:pld_points>
    LABELS dev TIMEOUT 900)
