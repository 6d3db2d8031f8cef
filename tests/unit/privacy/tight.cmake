# Tests of the tight accountants.
foreach(test check_fft check_gdp check_pair check_pld
        check_balls_in_bins check_fixed_order)
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
